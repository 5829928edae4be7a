"""What came of a fleet, as data: ``--json``, and what the table is made from."""

from pydantic import BaseModel, ConfigDict, Field

from hil.measure.series import Series


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Spread(_Part):
    """Samples of one quantity, by nearest rank."""

    unit: str
    n: int
    p50: float
    p90: float
    p99: float
    worst: float

    @classmethod
    def of(cls, series: Series) -> "Spread | None":
        """None without samples."""
        if not series.samples:
            return None
        p50, p90, p99 = (round(series.percentile(percent), 3) for percent in (50, 90, 99))
        return cls(
            unit=series.unit,
            n=len(series.samples),
            p50=p50,
            p90=p90,
            p99=p99,
            worst=round(max(series.samples), 3),
        )


class Reached(_Part):
    """Boards that were waited for. ``seconds`` are those of each, from its power-on until the record of that boot was in the
    cloud's log.
    """

    boards: int
    connected: int
    took_s: float = Field(description="From the beginning of the phase to the last that connected.")
    missing: list[str] = Field(
        default_factory=list, description="Boards that were not heard in time; the first few."
    )
    seconds: Spread | None


class Unlocks(_Part):
    """Unlocks that succeeded, in milliseconds from the first word to the answer, and the others by what was answered."""

    took: Spread | None
    failed: dict[str, int]


class Load(_Part):
    """Of boards that idle. Memory is PSS; ``*_cpu`` is milliseconds of processor time per second."""

    vm_kib: Spread
    bench_kib: float = Field(description="Of each board, in the bench's own process.")
    vm_cpu: Spread
    bench_cpu: float = Field(description="Of each board, in the bench's own process.")
    servers_cpu: dict[str, float] = Field(description="Of each server with its broker, for the whole fleet.")


class FleetReport(_Part):
    """``lost`` are records that a board made and the cloud does not have: there must be none."""

    ok: bool = False
    devices: int
    seed: int
    provisioned_s: float = 0.0
    ramp: Reached | None = None
    idle: Load | None = None
    hold_s: float = 0.0
    remote: Unlocks | None = None
    bluetooth: Unlocks | None = None
    chaos: Reached | None = Field(default=None, description="Boards that lost their power.")
    returned: Reached | None = Field(
        default=None, description="All boards, from when gateway and cloud served again to the last session."
    )
    chaos_faults: list[str] = Field(default_factory=list)
    lost: int | None = None
    not_started: dict[str, int] = Field(
        default_factory=dict, description="Boards whose VM did not start, by the reason."
    )
    error: str | None = Field(default=None, description="Why not all phases were carried through.")
