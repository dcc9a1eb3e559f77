"""A server with Kubeflow Pipelines' API, every route, request and answer of which is held against kfp-server-api."""
