"""A worker that makes thumbnails of photographs.

    python examples/resize_worker.py --server localhost:4730

The payload of a job is a JPEG, and so is its result.  Start as many of these as there
are processors.
"""

import argparse
import sys
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from gearpy import GearpyError, Job, Worker

THUMBNAIL_PIXELS: Final = 320  # the longer side, at most


def resize(job: Job) -> bytes:
    """The thumbnail of the photograph in the job's payload.

    Tells its progress after each step, and warns of a photograph that is a thumbnail already.
    Raises ValueError if the payload is no JPEG, or a broken one; the client is told.
    """
    try:
        with Image.open(BytesIO(job.data), formats=["JPEG"]) as image:
            halvings = count_halvings(image)
            steps = halvings + 3  # and to decode, to shrink to the very size, to encode
            job.progress(0, steps)
            # A camera held upright stores the picture lying, and a note that says so.
            photograph = ImageOps.exif_transpose(image).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"these {len(job.data):,} bytes are no whole JPEG") from error
    job.progress(1, steps)

    if max(photograph.size) < THUMBNAIL_PIXELS:
        width, height = photograph.size
        job.warn(f"it has only {width} x {height} pixels, so it stays as small as it is")
    for done in range(halvings):
        photograph = photograph.reduce(2)
        job.progress(2 + done, steps)
    photograph.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
    job.progress(steps - 1, steps)

    thumbnail = BytesIO()
    photograph.save(thumbnail, "JPEG", quality=85)
    job.progress(steps, steps)
    return thumbnail.getvalue()


def count_halvings(image: Image.Image) -> int:
    """How often to halve an image, which is quick, before the last, careful step."""
    return max(0, (max(image.size) // THUMBNAIL_PIXELS).bit_length() - 2)


def main() -> None:
    """Does "resize" jobs until it is stopped, with Ctrl-C or SIGTERM."""
    options = argparse.ArgumentParser(description="Makes thumbnails of photographs.")
    options.add_argument("--server", default="localhost:4730", metavar="HOST:PORT")
    server = options.parse_args().server

    try:
        worker = Worker(server)
        worker.register("resize", resize)
        print(f"resize worker: takes jobs from {server}; Ctrl-C stops it", flush=True)
        worker.run()
    except GearpyError as error:
        sys.exit(f"resize worker: {error}")


if __name__ == "__main__":
    main()
