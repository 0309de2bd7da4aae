"""``minisparse data``: the data sets, where their files are looked for, and whether they are valid."""

import argparse

from minisparse.data import describe, names


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "List the data sets: where their files are looked for, and whether they are there and "
        "valid. Nothing is downloaded. $MINISPARSE_DATA names another folder."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", default=list(names()), help="(default: all)"
    )


def run(args: argparse.Namespace) -> int:
    """Print what is known and found of each data set."""
    for i, found in enumerate([describe(name) for name in args.names]):
        height, width, channels = found.image_shape
        state = "valid" if found.available else "not available"
        where = "comes with the package" if found.bundled else "looked for in"
        print("" if i == 0 else "\n", end="")
        print(f"{found.name}: {found.title}, {state}")
        print(
            f"  {found.n_train:,} images to train and {found.n_test:,} to test, {height} x {width} "
            f"x {channels}, {len(found.classes)} classes; licence: {found.licence}"
        )
        print(f"  {where}: {found.folder}")
        for file in found.files:
            print(f"  {file.state:8} {file.name}")
            if file.detail:
                print(f"           {file.detail}")
        if not found.available and found.urls:
            print("  official home, downloaded from there when it is first used:")
            print("\n".join(f"    {url}" for url in found.urls))
    return 0
