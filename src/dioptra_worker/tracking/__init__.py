"""The border to MLflow and the artifact store; imported in runners only.

Start reading at `base`; `backend` chooses what a job gets.
"""
