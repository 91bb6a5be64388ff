"""Our worker beside the platform's own, on the same real services, in one run.

``python -m benchmarks`` runs the scenarios in `benchmarks.scenarios`, each of which
leaves a JSON file; `benchmarks.page` makes the documentation's page of those.
"""
