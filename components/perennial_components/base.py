"""What all components share as Kubeflow sees them."""

BASE_IMAGE = "localhost/perennial/components"
"""The image's name without a tag: whoever submits the pipeline to Kubeflow puts the tag of its release there."""
