"""Draws the four photographs of the demonstration, out of noise and arithmetic.

    python examples/photographs/draw.py [--into FOLDER] [NAME ...]

Draws all, or those that are named, into the folder that this file is in, or into another.

The pictures come out the same each time: all chance is seeded.  They are landscapes of 2400 by 1600
pixels, with enough detail and grain to weigh as much as a camera's JPEGs.
"""

import argparse
import math
from array import array
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageMath

Colour = tuple[int, int, int]
Line = list[float]  # for each column of the picture a height, in pixels from the top

WIDTH: Final = 2400
HEIGHT: Final = 1600
SIZE: Final = (WIDTH, HEIGHT)
BICUBIC: Final = Image.Resampling.BICUBIC


# ---- paint


def fractal(
    seed: int,
    cells: tuple[int, int],
    *,
    octaves: int = 6,
    gain: float = 0.5,
    ridged: bool = False,
    size: tuple[int, int] = SIZE,
) -> Image.Image:
    """Clouds, rocks, waves: noise in ever finer layers.  Floats, most of them from 0 to 1.

    ``cells`` is how many bumps lie across and down in the coarsest layer; ``gain`` is the weight of
    each layer beside the one before; ridged noise has sharp crests, as mountains have.
    """
    random = Random(seed)
    total = Image.new("F", size)
    weights = 0.0
    for octave in range(octaves):
        weight = gain**octave
        grid = tuple(min(cells[axis] << octave, size[axis]) for axis in (0, 1))
        dots = Image.frombytes("L", (grid[0], grid[1]), random.randbytes(grid[0] * grid[1]))
        layer = dots.convert("F").resize(size, BICUBIC).point(lambda value: value * (1 / 255) + 0)
        if ridged:
            layer = compute(lambda v: 1 - abs(v["a"] * 2 - 1), a=layer)
        total = compute(lambda v, w=weight: v["sum"] + v["a"] * w, sum=total, a=layer)
        weights += weight
    return compute(lambda v: v["sum"] / weights, sum=total)


def compute(formula: Callable[..., object], **images: Image.Image) -> Image.Image:
    """An image of floats: the formula, applied to each pixel of the images."""
    result = ImageMath.lambda_eval(formula, **images)
    assert isinstance(result, Image.Image)
    return result


def mask(image: Image.Image, low: float, high: float, most: float = 1.0) -> Image.Image:
    """How much of a layer to see: nothing where the image is ``low``, ``most`` where it is
    ``high``, and in between what lies between."""
    scale = 255 * most / (high - low)
    ends = compute(lambda v: (v["a"] - low) * scale, a=image)
    top = 255 * most
    return compute(lambda v: v["min"](v["max"](v["a"], 0), top), a=ends).convert("L")


def lay(picture: Image.Image, paint: Image.Image | Colour, where: Image.Image) -> None:
    """Puts paint over a picture as thick as the mask says."""
    if isinstance(paint, Image.Image):
        picture.paste(paint, (0, 0), where)
    else:
        picture.paste(paint, (0, 0, *picture.size), where)


def lighten(picture: Image.Image, light: Colour, where: Image.Image) -> None:
    """Adds light to a picture, as lamps and the sun do."""
    added = Image.new("RGB", picture.size)
    added.paste(light, (0, 0, *picture.size), where)
    picture.paste(ImageChops.screen(picture, added))


def gradient(*stops: tuple[float, Colour], size: tuple[int, int] = SIZE) -> Image.Image:
    """Colours from top to bottom; each stop is a place from 0 to 1 and the colour there."""
    column = Image.new("RGB", (1, size[1]))
    for y in range(size[1]):
        place = y / (size[1] - 1)
        above = max((stop for stop in stops if stop[0] <= place), default=stops[0])
        below = min((stop for stop in stops if stop[0] >= place), default=stops[-1])
        share = (place - above[0]) / (below[0] - above[0]) if below[0] > above[0] else 0.0
        column.putpixel((0, y), blend(above[1], below[1], share))
    return column.resize(size)


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def glow(centre: tuple[float, float], radius: float, power: float = 2.0) -> Image.Image:
    """A mask that is brightest at a centre and fades with the distance, to nothing at a radius."""
    small = Image.new("L", (WIDTH // 8, HEIGHT // 8))
    for y in range(small.height):
        for x in range(small.width):
            away = math.dist((x * 8, y * 8), centre) / radius
            small.putpixel((x, y), round(255 * max(0.0, 1 - away) ** power))
    return small.resize(SIZE, BICUBIC)


def develop(picture: Image.Image, seed: int, grain: float) -> Image.Image:
    """What a camera adds: darker corners, and grain."""
    corners = glow((WIDTH / 2, HEIGHT / 2), 2300, 0.7).point(lambda value: min(255, value + 95))
    picture = ImageChops.multiply(picture, Image.merge("RGB", (corners,) * 3))
    noise = fractal(seed, (WIDTH, HEIGHT), octaves=1).convert("F")
    channels = [
        compute(
            lambda v: v["min"](v["max"](v["a"] + (v["n"] - 0.5) * grain, 0), 255), a=band, n=noise
        ).convert("L")
        for band in picture.split()
    ]
    return Image.merge("RGB", channels)


# ---- things in landscapes


def ridge(seed: int, base: float, swing: float, bumps: float, rough: float = 0.5) -> Line:
    """The upper edge of hills: around ``base``, as far up and down as ``swing``."""
    random = Random(seed)
    line = [base] * WIDTH
    for octave in range(8):
        knots = [random.uniform(-1, 1) for _ in range(math.ceil(bumps * 2**octave) + 2)]
        for x in range(WIDTH):
            place = x / WIDTH * bumps * 2**octave
            left = int(place)
            share = (1 - math.cos((place - left) * math.pi)) / 2
            line[x] += swing * rough**octave * (knots[left] * (1 - share) + knots[left + 1] * share)
    return line


def below(line: Line) -> Image.Image:
    """The mask of everything below an edge."""
    land = Image.new("L", SIZE)
    edge = [(x, y) for x, y in enumerate(line)]
    ImageDraw.Draw(land).polygon([*edge, (WIDTH, HEIGHT), (0, HEIGHT)], fill=255)
    return land.filter(ImageFilter.GaussianBlur(0.8))


def conifer(draw: ImageDraw.ImageDraw, random: Random, x: float, foot: float, tall: float) -> None:
    """A spruce: a trunk, and branches that hang at both sides, wider and wider down to the foot."""
    draw.line([(x, foot), (x, foot - tall)], fill=255, width=max(1, round(tall / 60)))
    tiers = max(8, round(tall / 9))
    for tier in range(tiers):
        down = tier / tiers
        y = foot - tall * (1 - down * 0.92)
        reach = tall * 0.19 * down**0.85
        for side in (-1, 1):
            tip = x + side * reach * random.uniform(0.6, 1.15)
            sag = tall * random.uniform(0.02, 0.06)
            thick = tall * 0.035
            draw.polygon([(x, y - thick), (tip, y + sag), (x, y + thick * 1.2)], fill=255)


def forest(seed: int, line: Line, tall: float, gap: float) -> Image.Image:
    """The mask of a wood on hills."""
    random = Random(seed)
    trees = below([y + tall * 0.1 for y in line])
    draw = ImageDraw.Draw(trees)
    x = -tall * 0.2
    while x < WIDTH + tall * 0.2:
        foot = line[min(max(round(x), 0), WIDTH - 1)] + tall * 0.2
        conifer(draw, random, x, foot, tall * random.uniform(0.55, 1.1) ** 1.3)
        x += gap * random.uniform(0.3, 1.7)
    return trees.filter(ImageFilter.GaussianBlur(0.7))


def mirror(picture: Image.Image, shore: int, ripples: float, seed: int) -> Image.Image:
    """Water from a shore down to the picture's lower edge: what stands above it upside down,
    each row from a little above or below where a flat mirror would find it."""
    random = Random(seed)
    depth = picture.height - shore
    water = Image.new("RGB", (WIDTH, depth))
    lean = 0.0
    for row in range(depth):
        near = row / depth
        lean = lean * 0.55 + random.uniform(-1, 1)
        source = shore - 1 - row * min(1.0, shore / depth) + lean * ripples * (0.1 + near)
        y = min(max(round(source), 0), shore - 1)
        water.paste(picture.crop((0, y, WIDTH, y + 1)), (0, row))
    return water.filter(ImageFilter.GaussianBlur(1.2))


def plane(texture: Image.Image, horizon: int, stretch: float) -> Image.Image:
    """A texture laid flat on the ground, seen from above it: rows crowd towards the horizon."""
    depth = HEIGHT - horizon
    flat = Image.new("F", (WIDTH, depth))
    for row in range(depth):
        near = (row + 1) / depth
        scale = 1 / (near + 0.012)
        across = min(texture.width, WIDTH * 0.12 * scale)
        left = (texture.width - across) / 2
        y = (stretch * scale) % (texture.height - 2)
        box = (left, y, left + across, y + 1)
        flat.paste(texture.resize((WIDTH, 1), BICUBIC, box), (0, row))
    return flat


class View(NamedTuple):
    """Where a camera stands over a map, and how it looks."""

    horizon: int  # the row of the picture that is as high as the camera
    above: float  # the camera's height, in cells of the map
    zoom: float
    far: float
    haze: Colour


def terrain(picture: Image.Image, heights: Image.Image, colours: Image.Image, view: View) -> None:
    """Draws a map of heights, seen from the middle of its lower edge, into a picture.

    Each column is a ray over the map.  Going out along it, what stands higher in the picture than
    all before it is seen; the rest is hidden.
    """
    side = heights.width
    land = array("f", heights.tobytes())
    paint = colours.tobytes()
    canvas = bytearray(picture.tobytes())
    for x in range(WIDTH):
        across = (x / WIDTH - 0.5) / view.zoom
        top = HEIGHT
        z = 12.0
        while z < view.far:
            u, v = side / 2 + across * z, side - 2 - z
            left, upper = int(u), int(v)
            at = upper * side + left
            du, dv = u - left, v - upper
            near = land[at] * (1 - du) + land[at + 1] * du
            next_ = land[at + side] * (1 - du) + land[at + side + 1] * du
            height = near * (1 - dv) + next_ * dv
            y = max(0, round(view.horizon - (height - view.above) * WIDTH * view.zoom / z))
            if y < top:
                haze = min(0.9, (z / view.far) ** 1.4 * 0.8)
                spot = at * 3
                red, green, blue = (
                    round(a + (b - a) * haze)
                    for a, b in zip(paint[spot : spot + 3], view.haze, strict=True)
                )
                for row in range(y, top):
                    place = (row * WIDTH + x) * 3
                    canvas[place : place + 3] = bytes((red, green, blue))
                top = y
            z += 0.35 + z * 0.0012
    picture.paste(Image.frombytes("RGB", SIZE, bytes(canvas)))


# ---- the photographs


def mountain_lake() -> Image.Image:
    """Snowy mountains behind a lake, on a clear afternoon."""
    side, shore = 1200, 1040
    square = (side, side)
    sky = gradient(
        (0, (38, 92, 168)), (0.45, (128, 178, 222)), (0.66, (214, 226, 232)), (1, (0,) * 3)
    )
    clouds = fractal(11, (3, 9), octaves=8, gain=0.55)
    lay(sky, (250, 250, 250), mask(clouds, 0.52, 0.78, 0.85))

    rocks = fractal(7, (5, 5), octaves=8, gain=0.48, ridged=True, size=square)
    rise = Image.linear_gradient("L").rotate(180).resize(square).convert("F")
    heights = compute(
        lambda v: v["r"] * v["r"] * (v["g"] * 1.1 + 12) + (v["g"] - 60) * 0.25, r=rocks, g=rise
    )
    detail = fractal(8, (150, 150), octaves=4, size=square)
    slope = compute(
        lambda v: (v["a"] - v["b"]) + (v["n"] - 0.5) * 3,
        a=heights,
        b=ImageChops.offset(heights, 2, 2),
        n=detail,
    )
    colours = Image.new("RGB", square, (62, 74, 50))
    lay(colours, (38, 58, 34), mask(detail, 0.45, 0.6))
    treeline = compute(lambda v: v["h"] + (v["n"] - 0.5) * 60, h=heights, n=detail)
    lay(colours, (116, 108, 100), mask(treeline, 55, 80))
    lay(colours, (232, 236, 244), mask(treeline, 95, 120))
    steep = compute(lambda v: abs(v["a"] - v["b"]), a=heights, b=ImageChops.offset(heights, -1, 1))
    lay(colours, (96, 92, 94), mask(steep, 3.2, 5.2, 0.85))
    lay(colours, (24, 34, 62), mask(slope, 0.5, -5, 0.66))
    lighten(colours, (110, 96, 70), mask(slope, 0.5, 6, 0.8))
    empty = sky.copy()
    terrain(sky, heights, colours, View(shore - 30, 20, 1.0, 1150, (176, 198, 220)))

    bushes = mask(fractal(9, (420, 380), octaves=3), 0.35, 0.75, 0.5)
    land = ImageChops.difference(sky, empty).convert("L").point(lambda value: 255 * (value > 0))
    slopes = gradient((0, (0,) * 3), (0.36, (0,) * 3), (0.6, (255,) * 3), (1, (255,) * 3))
    land = ImageChops.multiply(land, slopes.convert("L"))
    lay(sky, (20, 30, 22), ImageChops.multiply(bushes, land))

    water = mirror(sky, shore, 26, 5)
    lay(
        water, (16, 52, 74), gradient((0, (40,) * 3), (1, (150,) * 3), size=water.size).convert("L")
    )
    sky.paste(water, (0, shore))
    return develop(sky, 1, 14)


def sunset_sea() -> Image.Image:
    """The sun goes down behind islands."""
    horizon = 930
    sky = gradient(
        (0, (34, 40, 92)),
        (0.28, (118, 78, 128)),
        (0.46, (232, 128, 88)),
        (0.58, (255, 204, 120)),
        (1, (255, 190, 110)),
    )
    sun = (1520.0, 800.0)
    clouds = fractal(21, (3, 14), octaves=8, gain=0.56)
    lay(sky, (84, 56, 92), mask(clouds, 0.48, 0.72, 0.85))
    rims = ImageChops.multiply(mask(clouds, 0.42, 0.5), mask(clouds, 0.58, 0.5))
    lighten(sky, (255, 150, 90), ImageChops.multiply(rims, glow(sun, 1500, 1.0)))
    lighten(sky, (255, 190, 110), glow(sun, 1100, 2.2))
    lighten(sky, (255, 236, 190), glow(sun, 230, 2.0))
    disc = Image.new("L", SIZE)
    ImageDraw.Draw(disc).ellipse((sun[0] - 62, sun[1] - 62, sun[0] + 62, sun[1] + 62), fill=255)
    lay(sky, (255, 248, 220), disc.filter(ImageFilter.GaussianBlur(2)))
    for seed, base, swing, colour in (
        (22, 905, 60, (150, 88, 92)),
        (24, 950, 90, (96, 58, 78)),
        (29, 985, 120, (52, 36, 58)),
    ):
        lay(sky, colour, below(ridge(seed, base, swing, 3.2, 0.46)))

    water = mirror(sky, horizon, 60, 25)
    waves = plane(fractal(26, (110, 700), octaves=4, size=(2400, 2400)), horizon, 75)
    lay(water, (26, 28, 66), mask(waves, 0.36, 0.72, 0.75))
    path = glow((sun[0], HEIGHT / 2), 420, 1.2).resize((WIDTH, 3 * HEIGHT), BICUBIC)
    path = path.crop((0, HEIGHT, WIDTH, HEIGHT + water.height))
    lighten(water, (255, 196, 120), ImageChops.multiply(path, mask(waves, 0.54, 0.42)))
    sky.paste(water, (0, horizon))
    return develop(sky, 2, 16)


def misty_forest() -> Image.Image:
    """Spruces on hills, one behind the other in the morning mist."""
    picture = gradient((0, (196, 208, 206)), (0.35, (236, 226, 204)), (1, (214, 214, 200)))
    lighten(picture, (255, 240, 200), glow((700.0, 330.0), 900, 1.8))
    mist = fractal(31, (4, 7), octaves=6)
    layers = 7
    for layer in range(layers):
        near = layer / (layers - 1)
        base = 430 + 980 * near**1.15
        line = ridge(40 + layer, base, 70 + 90 * near, 2.0 + 1.5 * (1 - near), 0.4)
        wood = forest(60 + layer, line, 42 + 440 * near**1.5, 5 + 58 * near**1.3)
        leaves = fractal(70 + layer, (500, 900), octaves=2)
        colour = blend((176, 190, 182), (16, 34, 28), near**0.7)
        paint = Image.new("RGB", SIZE, colour)
        lay(paint, blend(colour, (92, 100, 62), 0.55 * near), mask(leaves, 0.4, 0.95))
        lay(picture, paint, wood)
        if layer < layers - 1:
            low = gradient(
                (0, (0,) * 3),
                (min(0.98, (base - 20) / HEIGHT), (0,) * 3),
                (min(0.99, (base + 240) / HEIGHT), (205,) * 3),
                (1, (205,) * 3),
            ).convert("L")
            lay(picture, (226, 222, 206), ImageChops.multiply(low, mask(mist, 0.2, 0.62)))
    lighten(picture, (255, 214, 150), glow((700.0, 330.0), 1500, 2.4).point(lambda v: v * 0.45))
    return develop(picture, 3, 16)


def starry_town() -> Image.Image:
    """A town at a river, under the Milky Way."""
    random = Random(51)
    shore = 1210
    sky = gradient((0, (6, 10, 30)), (0.45, (18, 30, 66)), (0.72, (62, 62, 92)), (1, (90, 76, 84)))
    band = Image.new("L", SIZE)
    ImageDraw.Draw(band).line([(300, -100), (1900, 1300)], fill=255, width=330)
    band = band.filter(ImageFilter.GaussianBlur(150))
    dust = fractal(52, (7, 6), octaves=8, gain=0.62)
    lighten(sky, (150, 140, 176), ImageChops.multiply(band, mask(dust, 0.38, 0.72, 0.9)))
    stars(sky, random, band, 1150)
    lay(sky, (24, 26, 48), below(ridge(53, 980, 120, 2.4, 0.42)))
    lay(sky, (14, 15, 30), below(ridge(54, 1080, 70, 3.0, 0.4)))
    lighten(sky, (255, 160, 70), glow((1250.0, shore + 20.0), 900, 2.2).point(lambda v: v * 0.5))
    town(sky, random, shore)
    water = mirror(sky, shore, 46, 55)
    lay(water, (8, 12, 28), Image.new("L", water.size, 110))
    sky.paste(water, (0, shore))
    return develop(sky, 4, 13)


def stars(sky: Image.Image, random: Random, band: Image.Image, lowest: int) -> None:
    """Thousands of stars, most of them faint, more where the band is bright."""
    draw = ImageDraw.Draw(sky)
    for _ in range(9000):
        x, y = random.randrange(WIDTH), random.randrange(lowest)
        thick = band.getpixel((x, y))
        assert isinstance(thick, int)
        if random.random() > 0.25 + thick / 255:
            continue
        light = random.random() ** 5
        colour = blend((120, 130, 165), random.choice([(255, 240, 220), (220, 232, 255)]), light)
        radius = 0.4 + 2.4 * light**3
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def town(picture: Image.Image, random: Random, shore: int) -> None:
    """Houses along a shore, three rows of them, with lamps and lit windows that shine."""
    lights = Image.new("RGB", SIZE)
    for row, (colour, big) in enumerate(
        (((46, 42, 56), 0.7), ((34, 31, 44), 0.85), ((22, 20, 30), 1))
    ):
        foot = shore - 84 + row * 36
        x = -30.0
        while x < WIDTH:
            wide, tall = random.uniform(55, 150) * big, random.uniform(60, 150) * big
            rise = max(0.35, 1 - abs(x - 1250) / 1700)
            house(picture, lights, random, (x, foot, wide, tall * rise + 40), colour)
            x += wide * random.uniform(0.85, 1.2)
    tower(picture, lights, 1330, shore - 20)
    draw = ImageDraw.Draw(lights)
    for x in range(40, WIDTH, 118):
        draw.ellipse((x - 5, shore - 28, x + 5, shore - 18), fill=(255, 214, 140))
    for radius, strength in ((0, 1.0), (5, 0.6), (24, 0.8), (90, 1.2)):
        shine = lights.filter(ImageFilter.GaussianBlur(radius)) if radius else lights
        picture.paste(
            ImageChops.screen(picture, shine.point(lambda v, s=strength: min(255, v * s)))
        )


def house(
    picture: Image.Image,
    lights: Image.Image,
    random: Random,
    place: tuple[float, float, float, float],
    colour: Colour,
) -> None:
    """A house with a gable roof; ``place`` is its left side, foot, width and height."""
    x, foot, wide, tall = place
    draw, lamp = ImageDraw.Draw(picture), ImageDraw.Draw(lights)
    eaves = foot - tall
    draw.rectangle((x, eaves, x + wide, foot + 60), fill=colour)
    roof = [(x - 5, eaves), (x + wide / 2, eaves - wide * 0.42), (x + wide + 5, eaves)]
    draw.polygon(roof, fill=blend(colour, (0, 0, 0), 0.35))
    lamp.rectangle((x, eaves, x + wide, foot), fill=(0, 0, 0))
    lamp.polygon(roof, fill=(0, 0, 0))
    step = 19
    for column in range(int((wide - 12) // step)):
        for floor in range(int((tall - 10) // 26)):
            left, upper = x + 9 + column * step, eaves + 9 + floor * 26
            if random.random() < 0.4:
                glass = random.choice([(255, 206, 120), (255, 188, 96), (250, 226, 170)])
                lamp.rectangle((left, upper, left + 9, upper + 13), fill=glass)


def tower(picture: Image.Image, lights: Image.Image, x: int, foot: int) -> None:
    """A church tower with a spire and a clock."""
    draw = ImageDraw.Draw(picture)
    draw.rectangle((x - 38, foot - 330, x + 38, foot), fill=(20, 19, 28))
    draw.polygon([(x - 44, foot - 330), (x, foot - 520), (x + 44, foot - 330)], fill=(12, 12, 20))
    lamp = ImageDraw.Draw(lights)
    lamp.rectangle((x - 38, foot - 330, x + 38, foot), fill=(0, 0, 0))
    lamp.ellipse((x - 17, foot - 300, x + 17, foot - 266), fill=(255, 232, 180))


PHOTOGRAPHS: Final[dict[str, tuple[Callable[[], Image.Image], int]]] = {  # and their quality
    "misty_forest": (misty_forest, 80),
    "mountain_lake": (mountain_lake, 82),
    "starry_town": (starry_town, 82),
    "sunset_sea": (sunset_sea, 80),
}


def main() -> None:
    """Draws those whose names are given, or all."""
    parser = argparse.ArgumentParser(description="Draws the photographs of the demonstration.")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PHOTOGRAPHS))
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(PHOTOGRAPHS))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(PHOTOGRAPHS)}")
    for name in options.names or PHOTOGRAPHS:
        draw, quality = PHOTOGRAPHS[name]
        path = options.into / f"{name}.jpg"
        draw().save(path, quality=quality, progressive=True, optimize=True)
        print(f"{path} {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
