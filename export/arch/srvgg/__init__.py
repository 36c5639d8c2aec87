"""SRVGG: the compact Real-ESRGAN network, here the teacher."""
