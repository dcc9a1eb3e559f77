"""A pipeline of one's own in place of the built-in one."""

from pydantic import Field

from perennial.api.common import Model


class OwnPipeline(Model):
    """A compiled Kubeflow pipeline that trains the model. What it claims is measured again on the rows held out, by the
    operator's own components; its gates, its version and its baseline come of that.
    """

    url: str = Field(
        min_length=8,
        max_length=1024,
        pattern=r"^(s3|gs|az|https?|file)://[^@\s]+$",
        description="Address of the compiled file, read with the Secret perennial-store.",
    )
    sha256: str = Field(
        max_length=64, pattern=r"^[0-9a-f]{64}$", description="Its digest; a file with another one is not executed."
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        pattern=r"^\S+$",
        description="The image of all its components, for the embedded engine. It is made from the components image of "
        "this release (docs/own-pipeline.md); kubectl perennial lint pipeline FILE says what a file lacks. In Kubeflow "
        "each component has the image that the file names.",
    )
