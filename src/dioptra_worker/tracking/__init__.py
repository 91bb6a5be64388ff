"""The border to MLflow and the artifact store; imported in runners only.

Start reading at `backends`.
"""
