"""Classical motion: OpenCV DIS both ways.

Nothing here is learned and nothing needs a device. "dB" is the PSNR of held-out middle frames.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fastrestore.runtime.flowpair import FlowPair, comparable

_F32 = NDArray[np.float32]
_U8 = NDArray[np.uint8]

_MEDIUM: Final = 2  # cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
# The preset stops at half size. That is enough for frames of the same size, but in the guided plan the flow is
# magnified with the picture: on the swan clip at x2 it loses 0.19 dB against motion found on the restored frames
# (`davis_blackswan`, first 17 frames, halved, every second held out, measured once).
# Going on to full size with a coarser stride and fewer steps loses 0.05 dB, for 1.3 times the time of the preset;
# all steps at full size would lose 0.01 dB for 2.2 times the time.
_FINEST_SCALE: Final = 0
_DESCENT_STEPS: Final = 12
_REFINEMENT_STEPS: Final = 2
_PATCH_STRIDE_PX: Final = 5
_MAX_SHARE: Final = 0.125  # of the longer side: anything longer was a mismatch (no clip lost by this limit)


class DisFlow:
    """Estimate motion with DIS optical flow; same input, same bytes out, on any number of threads.

    An instance keeps OpenCV's work buffers: use one per thread.
    """

    def __init__(self) -> None:
        cv: Any = cv2  # OpenCV's own stubs lack this factory
        self._dis = cv.DISOpticalFlow_create(_MEDIUM)
        self._dis.setFinestScale(_FINEST_SCALE)
        self._dis.setGradientDescentIterations(_DESCENT_STEPS)
        self._dis.setVariationalRefinementIterations(_REFINEMENT_STEPS)
        self._dis.setPatchStride(_PATCH_STRIDE_PX)

    def pair(self, left: _U8, right: _U8) -> FlowPair:
        """Match two frames both ways.

        Args:
            left: `(H, W)`, uint8, luma of the earlier frame; any size from 1x1.
            right: `(H, W)`, uint8, luma of the later frame.

        Returns:
            The flows at frame size and what `FlowPair.at` needs, all float32 and finite.

        Raises:
            ValueError: The frames are not two uint8 planes of one size.
        """
        first, second = comparable(left, right)
        height, width = left.shape
        return FlowPair.join(first, second, self._match(first, second), self._match(second, first), (height, width))

    def _match(self, source: _U8, target: _U8) -> _F32:
        """Return the `(H, W, 2)` px flow from one padded frame to the other, finite and of bounded length."""
        flow: _F32 = self._dis.calc(source, target, None)
        limit = np.float32(_MAX_SHARE * max(source.shape))
        return np.clip(np.nan_to_num(flow), -limit, limit)
