"""ONNX Runtime's CUDA provider as what enqueues a segment on the CUDA floor."""
