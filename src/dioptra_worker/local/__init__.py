"""The local stack: queue, REST API, MLflow and S3 on one machine."""
