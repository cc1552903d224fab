"""Task sets as a user writes them."""

FITS = (
    "tasks: [{name: a, period_ms: 10, segments_ms: [2]}, "
    "{name: b, period_ms: 20, segments_ms: [2, 2], jitter_ms: 3}]"
)
BLOCKED = (
    "tasks: [{name: quick, period_ms: 10, segments_ms: [2]}, "
    "{name: slow, period_ms: 100, segments_ms: [30]}]"
)
TWO_LANES = (
    "lanes: [{name: left}, {name: right}]\n"
    "tasks: [{name: a, period_ms: 10, segments_ms: [6]}, {name: b, period_ms: 10, "
    "segments_ms: [6]}, {name: c, period_ms: 40, segments_ms: [2], lane: right}]"
)
IDLING = (
    "tasks: [{name: quick, period_ms: 10, segments_ms: [3]}, "
    "{name: slow, period_ms: 60, segments_ms: [8]}]\npolicy: cw_edf"
)
MIXED = (
    "tasks: [{name: pilot, period_ms: 20, segments_ms: [3], high_segments_ms: [7]}, "
    "{name: mapper, period_ms: 20, segments_ms: [6, 6], criticality: low}, "
    "{name: vlm, period_ms: 40, segments_ms: [4], criticality: best_effort}]"
)
TALKING = (
    "tasks: [{name: detect, period_ms: 50, deadline_ms: 45, segments_ms: [12]}, "
    "{name: depth, period_ms: 100, segments_ms: [30]}]\n"
    "generators: [{name: assistant, slots: 4, max_len: 1024, kv_bytes_per_token: 46080, "
    "arena_mib: 256, buckets: [{prefill: 2, parts_ms: [18]}, {prefill: 32, parts_ms: [68, 68]}, "
    "{decode: 1, parts_ms: [2.5, 6]}, {decode: 4, parts_ms: [30, 9], precision: int4}]}]"
)
