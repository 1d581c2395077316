"""What the scripts beside this one share: running scenarios, one line each, and the words for what went wrong."""

import traceback

# Seconds. Time limit of a scenario whose event never happens; no scenario waits for it.
GUARD = 20


def run(name, scenarios, versions):
    """Runs every scenario with every protocol version. The exit code: 0 if none failed."""
    failed = 0
    for version in versions:
        for scenario in scenarios:
            title = f"{name} {version} {scenario.__name__}"
            try:
                scenario(version)
            except Exception as error:  # the next scenario runs all the same
                failed += 1
                where = traceback.extract_tb(error.__traceback__)
                line = next((f.lineno for f in where if f.name == scenario.__name__), "?")
                print(f"FAILED {title}, line {line}: {type(error).__name__}: {error}", flush=True)
            else:
                print(f"ok     {title}", flush=True)
    return 1 if failed else 0


def equal(got, expected):
    if got != expected:
        raise AssertionError(f"got {got!r}, expected {expected!r}")
