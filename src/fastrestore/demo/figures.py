"""The people of the scene: jointed figures drawn from bars, in world units, feet at the place given."""

import math

from fastrestore.demo.canvas import Canvas, Point
from fastrestore.demo.textures import column, stripes

_STRIDES_PER_HEIGHT = 1.25
"""Full walking cycles (two steps) in a walk as long as the figure is tall."""


def limb(root: Point, upper: float, lower: float, angles: tuple[float, float]) -> tuple[Point, Point]:
    """Return the middle joint and the end of a limb hanging from ``root``; angles are from straight down."""
    first, second = angles
    middle = (root[0] + upper * math.sin(first), root[1] + upper * math.cos(first))
    return middle, (middle[0] + lower * math.sin(second), middle[1] + lower * math.cos(second))


def gentleman(canvas: Canvas, foot: Point, height: float, walked: float, tone: float = 0.12) -> None:
    """Draw a man with bowler hat and cane walking left, having ``walked`` so many units."""
    phase = 2 * math.pi * walked / height * _STRIDES_PER_HEIGHT
    bob = 0.008 * height * math.cos(2 * phase)
    x, hip_y = foot[0], foot[1] - 0.47 * height + bob
    _arm(canvas, (x - 0.005 * height, hip_y - 0.30 * height), height, -0.55 * math.sin(phase), tone * 0.8)
    for offset, shade in ((math.pi, tone * 0.9), (0.0, tone * 1.3)):
        _leg(canvas, (x, hip_y), height, phase + offset, shade)
    _coat(canvas, x, hip_y, height, math.sin(phase), tone)
    _bowler(canvas, x - 0.012 * height, hip_y - 0.40 * height, height, tone)
    hand = _arm(canvas, (x + 0.012 * height, hip_y - 0.30 * height), height, 0.55 * math.sin(phase), tone * 1.9)
    tip = (hand[0] - (0.06 + 0.16 * math.sin(phase)) * height, min(foot[1], hand[1] + 0.42 * height))
    canvas.line(hand, tip, 0.013 * height, 0.06)


def _leg(canvas: Canvas, hip: Point, height: float, phase: float, tone: float) -> None:
    swing = -0.48 * math.sin(phase)
    bend = 0.12 + 0.55 * max(0.0, math.cos(phase)) ** 1.5
    knee, ankle = limb(hip, 0.235 * height, 0.225 * height, (swing, swing + bend))
    canvas.line(hip, knee, 0.095 * height, tone, 0.072 * height)
    canvas.line(knee, ankle, 0.07 * height, tone, 0.05 * height)
    toe = (
        ankle[0] - 0.075 * height,
        ankle[1] + 0.012 * height - 0.05 * height * max(0.0, math.cos(phase)) * 0.3,
    )
    canvas.line((ankle[0] + 0.01 * height, ankle[1] + 0.01 * height), toe, 0.042 * height, 0.05)


def _arm(canvas: Canvas, shoulder: Point, height: float, swing: float, tone: float) -> Point:
    elbow, hand = limb(shoulder, 0.165 * height, 0.15 * height, (swing, swing - 0.28))
    canvas.line(shoulder, elbow, 0.072 * height, tone, 0.058 * height)
    canvas.line(elbow, hand, 0.056 * height, tone, 0.042 * height)
    canvas.disc(hand, 0.023 * height, 0.62)
    return hand


def _coat(canvas: Canvas, x: float, hip_y: float, height: float, swing: float, tone: float) -> None:
    flare = 0.018 * height * abs(swing)
    outline = [
        (-0.055, -0.355),
        (0.035, -0.36),
        (0.07, -0.31),
        (0.075, -0.12),
        (0.092 + flare / height, 0.09),
        (0.0, 0.105),
        (-0.082 - flare / height, 0.085),
        (-0.07, -0.10),
        (-0.085, -0.26),
    ]
    shade = column(tone * 0.8, tone * 2.6, x - 0.11 * height, x + 0.10 * height)
    canvas.polygon([(x + a * height, hip_y + b * height) for a, b in outline], shade)
    collar = [(-0.055, -0.36), (-0.012, -0.365), (-0.045, -0.27)]
    canvas.polygon([(x + a * height, hip_y + b * height) for a, b in collar], 0.88)


def _bowler(canvas: Canvas, x: float, y: float, height: float, tone: float) -> None:
    skin = column(0.45, 0.86, x - 0.06 * height, x + 0.06 * height)
    canvas.ellipse((x, y), (0.046 * height, 0.06 * height), skin)
    canvas.disc((x - 0.047 * height, y + 0.006 * height), 0.012 * height, 0.8)
    canvas.line((x - 0.05 * height, y + 0.03 * height), (x - 0.02 * height, y + 0.028 * height), 0.014 * height, 0.12)
    crown = column(tone * 0.6, 0.42, x - 0.055 * height, x + 0.055 * height)
    canvas.ellipse((x, y - 0.055 * height), (0.049 * height, 0.052 * height), crown)
    canvas.line(
        (x - 0.07 * height, y - 0.03 * height),
        (x + 0.066 * height, y - 0.032 * height),
        0.017 * height,
        tone * 0.7,
    )


def lady(canvas: Canvas, foot: Point, height: float, wave: float, tone: float = 0.3) -> None:
    """Draw a standing lady with a wide hat, her raised arm turned by ``wave`` radians."""
    x, y = foot
    skirt = [(-0.13, 0.0), (-0.05, -0.5), (0.05, -0.5), (0.14, 0.0)]
    canvas.polygon(
        [(x + a * height, y + b * height) for a, b in skirt],
        column(tone * 0.7, tone * 1.7, x - 0.12 * height, x + 0.12 * height),
    )
    bodice = [(-0.045, -0.5), (-0.08, -0.75), (0.08, -0.75), (0.045, -0.5)]
    canvas.polygon([(x + a * height, y + b * height) for a, b in bodice], min(0.95, tone * 2.3))
    canvas.ellipse((x, y - 0.84 * height), (0.045 * height, 0.065 * height), 0.82)
    canvas.ellipse((x, y - 0.91 * height), (0.13 * height, 0.026 * height), tone * 0.5)
    canvas.ellipse((x + 0.02 * height, y - 0.94 * height), (0.06 * height, 0.035 * height), tone * 0.6)
    elbow, hand = limb((x - 0.07 * height, y - 0.72 * height), 0.15 * height, 0.15 * height, (-2.3, math.pi + wave))
    canvas.path([(x - 0.07 * height, y - 0.72 * height), elbow, hand], 0.04 * height, min(0.95, tone * 2.0))
    canvas.polygon(
        [
            hand,
            (hand[0] - 0.1 * height, hand[1] - 0.06 * height),
            (hand[0] - 0.09 * height, hand[1] + 0.03 * height),
        ],
        0.95,
    )


def bystander(canvas: Canvas, foot: Point, height: float, tone: float, hat: str) -> None:
    """Draw a standing man of the crowd, in a ``top`` or a ``flat`` hat."""
    x, y = foot
    for side in (-0.045, 0.045):
        canvas.line(
            (x + side * height, y - 0.02 * height),
            (x + side * height * 0.7, y - 0.45 * height),
            0.075 * height,
            tone * 0.8,
        )
    coat = [(-0.10, -0.34), (-0.11, -0.78), (-0.04, -0.82), (0.04, -0.82), (0.11, -0.78), (0.10, -0.34)]
    canvas.polygon(
        [(x + a * height, y + b * height) for a, b in coat],
        column(tone * 0.8, tone * 1.9, x - 0.1 * height, x + 0.1 * height),
    )
    canvas.polygon(
        [
            (x - 0.03 * height, y - 0.82 * height),
            (x + 0.03 * height, y - 0.82 * height),
            (x, y - 0.66 * height),
        ],
        0.85,
    )
    canvas.ellipse((x, y - 0.88 * height), (0.045 * height, 0.062 * height), 0.75)
    tall = 0.13 if hat == "top" else 0.045
    canvas.rect(x - 0.047 * height, y - (0.92 + tall) * height, x + 0.047 * height, y - 0.92 * height, tone * 0.6)
    canvas.line(
        (x - 0.07 * height, y - 0.92 * height),
        (x + 0.07 * height, y - 0.92 * height),
        0.02 * height,
        tone * 0.5,
    )


def child(canvas: Canvas, foot: Point, height: float, run: float) -> None:
    """Draw a child in a sailor suit running right, having run ``run`` units, arm out to drive a hoop."""
    phase = 2 * math.pi * run / height * 0.85
    lift = 0.03 * height * abs(math.sin(phase))
    x, hip_y = foot[0], foot[1] - 0.44 * height - lift
    for offset, shade in ((math.pi, 0.42), (0.0, 0.55)):
        swing = 0.8 * math.sin(phase + offset)
        bend = 0.2 + 0.9 * max(0.0, math.cos(phase + offset))
        knee, ankle = limb((x, hip_y), 0.21 * height, 0.20 * height, (swing, swing - bend))
        canvas.line((x, hip_y), knee, 0.11 * height, shade * 0.35, 0.09 * height)
        canvas.line(knee, ankle, 0.06 * height, 0.12, 0.05 * height)
        canvas.line(ankle, (ankle[0] + 0.07 * height, ankle[1] + 0.01 * height), 0.05 * height, 0.06)
    lean = 0.06 * height
    blouse = [(-0.09, 0.04), (-0.085, -0.27), (0.08, -0.27), (0.1, 0.04)]
    shirt = stripes(0.93, 0.72, 0.014 * height)
    canvas.polygon([(x + a * height - b * lean, hip_y + b * height) for a, b in blouse], shirt)
    canvas.polygon(
        [
            (x - 0.1 * height, hip_y - 0.28 * height),
            (x + 0.11 * height, hip_y - 0.28 * height),
            (x, hip_y - 0.16 * height),
        ],
        0.16,
    )
    _child_head(canvas, (x + 0.025 * height, hip_y - 0.38 * height), height)
    drive = 1.15 + 0.25 * math.sin(phase * 2)
    elbow, hand = limb((x + 0.02 * height, hip_y - 0.24 * height), 0.15 * height, 0.14 * height, (drive * 0.7, drive))
    canvas.path([(x + 0.02 * height, hip_y - 0.24 * height), elbow, hand], 0.055 * height, 0.8)
    canvas.line(hand, (hand[0] + 0.17 * height, hand[1] - 0.02 * height), 0.018 * height, 0.1)


def _child_head(canvas: Canvas, head: Point, height: float) -> None:
    face = column(0.66, 0.95, head[0] - 0.06 * height, head[0] + 0.2 * height)
    canvas.ellipse(head, (0.078 * height, 0.09 * height), face)
    canvas.disc((head[0] + 0.042 * height, head[1] - 0.012 * height), 0.011 * height, 0.08)
    smile = (head[0] + 0.03 * height, head[1] + 0.045 * height), (head[0] + 0.06 * height, head[1] + 0.036 * height)
    canvas.line(*smile, 0.01 * height, 0.25)
    canvas.ellipse((head[0] - 0.01 * height, head[1] - 0.085 * height), (0.125 * height, 0.03 * height), 0.86)
    canvas.ellipse((head[0] - 0.01 * height, head[1] - 0.105 * height), (0.075 * height, 0.04 * height), 0.9)
    canvas.line(
        (head[0] - 0.09 * height, head[1] - 0.07 * height),
        (head[0] + 0.07 * height, head[1] - 0.07 * height),
        0.02 * height,
        0.1,
    )
