# The judge of Python versions: reads pairs, a line each with a tab between, and writes a sign a line.
# "?" where one of the two is no version. Ends with 3 where `packaging` is not installed.
import sys

try:
    from packaging.version import InvalidVersion, Version
except ImportError:
    try:
        from pip._vendor.packaging.version import InvalidVersion, Version
    except ImportError:
        sys.exit(3)


def sign(line):
    try:
        a, b = map(Version, line.split("\t"))
    except InvalidVersion:
        return "?"
    return "<" if a < b else ">" if a > b else "="


for line in sys.stdin.read().splitlines():
    print(sign(line))
