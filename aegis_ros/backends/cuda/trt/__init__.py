"""TensorRT as what enqueues a segment on the CUDA floor."""
