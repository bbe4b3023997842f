"""Numbers for people to read."""


def compact(count: int) -> str:
    """At most four characters for a count below 10¹⁵: ``950``, ``1.2k``, ``34k``, ``5.6M``."""
    value, suffixes = float(count), iter(("", "k", "M", "G", "T"))
    suffix = next(suffixes)
    while round(value) >= 1000:
        value, suffix = value / 1000, next(suffixes)
    return f"{value:.1f}{suffix}" if suffix and round(value, 1) < 10 else f"{value:.0f}{suffix}"


def audio_length(seconds: float) -> str:
    """Hours, or minutes or seconds where it is less than one of the larger unit."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def share(part: int, whole: int) -> str:
    """Per cent; ``<0.1%`` is more than nothing."""
    if not part or not whole:
        return "0%"
    return f"{100 * part / whole:.1f}%" if part / whole >= 0.001 else "<0.1%"
