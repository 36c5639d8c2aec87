"""Pictures on a card as frames of FFmpeg's: the same memory, nothing is copied."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from av.video.frame import CudaContext, VideoFrame

from fastrestore.runtime.devices.dlpack import Place
from fastrestore.runtime.handed import HandedPicture
from fastrestore.runtime.media import pixels

_NAMES = {8: "nv12", 10: "p010le"}


class CardFrames:
    """Makes the frames of one encoder. An encoder takes what it needs to know of the card from the first of them.

    FFmpeg works in the context that is current when it is given the first frame. It cannot be told to take the card's
    primary context by itself: it would, were that made with the flags that it asks for, and it was made by others.
    """

    def __init__(self) -> None:
        self._context: CudaContext | None = None

    def frame(self, picture: HandedPicture) -> VideoFrame:
        """Return a picture as a frame, which has its memory until nobody in FFmpeg refers to it any more.

        Raises:
            av.error.FFmpegError: If FFmpeg cannot use the card.
            EncodeError: If there is too little memory for one more picture beside those that the encoder keeps.
        """
        planes = picture.planes()
        place, ordinal = planes[0].__dlpack_device__()
        if place == Place.CUDA and self._context is None:
            self._context = CudaContext(ordinal, primary_ctx=False, current_ctx=True)
        name, size = _NAMES[picture.format.bits], picture.size
        with picture.current():
            frame = VideoFrame.from_dlpack(planes, name, size.width, size.height, cuda_context=self._context)
        pixels.tag(frame, picture.colour)
        return frame


@contextmanager
def forgetting() -> Iterator[None]:
    """Have an error that passes refer to no frame, no packet and no encoder any more.

    Its traceback would, as long as somebody keeps it: and through them to memory of the card, which others wait for.
    """
    try:
        yield
    except BaseException as error:
        passing: BaseException | None = error
        while passing is not None:
            traceback.clear_frames(passing.__traceback__)
            passing = passing.__cause__ or passing.__context__
        raise
