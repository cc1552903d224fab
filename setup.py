"""The one list of programs and plug-ins; CMake reads it for colcon, setuptools for pip."""

from setuptools import find_packages, setup

setup(
    name="aegis_ros",
    version="0.2.0",
    packages=find_packages(include=["aegis_ros", "aegis_ros.*"]),
    package_data={
        "aegis_ros": ["py.typed", "models/*.onnx"],
        "aegis_ros.dashboard": ["page/*"],
        "aegis_ros.trace": ["page.html"],
    },
    entry_points={
        "console_scripts": [
            "aegis = aegis_ros.cli.program:aegis",
            "orchestrator = aegis_ros.nodes.orchestrator_main:program",
            "replay = aegis_ros.nodes.programs:replay",
            "monitor = aegis_ros.nodes.programs:monitor",
            "demo = aegis_ros.nodes.programs:demo",
            "dashboard = aegis_ros.nodes.programs:dashboard",
            "chat = aegis_ros.nodes.programs:chat",
        ],
        "aegis_ros.programs": [  # what `aegis` becomes, and has no import of
            "dashboard = aegis_ros.nodes.programs:dashboard",
        ],
        "aegis_ros.backends": [
            "onnxruntime = aegis_ros.backends.cpu.onnxruntime:OnnxRuntimeBackend",
            "onnxruntime_cuda = aegis_ros.backends.cuda.ort.backend:OnnxRuntimeCudaBackend",
            "openvino = aegis_ros.backends.openvino.backend:OpenVinoBackend",
            "openvino_gpu = aegis_ros.backends.openvino.backend:OpenVinoGpuBackend",
            "openvino_npu = aegis_ros.backends.openvino.backend:OpenVinoNpuBackend",
            "simulated = aegis_ros.backends.testing.simulated:SimulatedBackend",
            "tensorrt = aegis_ros.backends.cuda.trt.backend:TensorRtBackend",
            "tvm = aegis_ros.backends.tvm.backend:TvmBackend",
        ],
        "aegis_ros.adaptation": [
            "default = aegis_ros.scheduling.adaptation.rules:DefaultRules",
            "static = aegis_ros.scheduling.adaptation.static:StaticLimits",
        ],
        "aegis_ros.plans": [
            "early_exit = aegis_ros.scheduling.plans.segments:EarlyExitPlan",
            "generator = aegis_ros.scheduling.plans.generator:GeneratorPlan",
            "segments = aegis_ros.scheduling.plans.segments:SegmentPlan",
        ],
        "aegis_ros.decoders": [
            "anchors_3d = aegis_ros.decoders.anchors_3d:Anchors3DDecoder",
            "bev_obstacles = aegis_ros.decoders.obstacles:ObstaclesDecoder",
            "boxes = aegis_ros.decoders.boxes:BoxesDecoder",
            "boxes_3d = aegis_ros.decoders.boxes_3d:Boxes3DDecoder",
            "centerface = aegis_ros.decoders.centerface:CenterFaceDecoder",
            "centernet = aegis_ros.decoders.centernet:CenterNetDecoder",
            "centerpoint = aegis_ros.decoders.centerpoint:CenterPointDecoder",
            "classification = aegis_ros.decoders.classification:ClassificationDecoder",
            "depth = aegis_ros.decoders.depth:DepthDecoder",
            "detections = aegis_ros.decoders.detections:DetectionsDecoder",
            "detr = aegis_ros.decoders.detr:DetrDecoder",
            "embedding = aegis_ros.decoders.embedding:EmbeddingDecoder",
            "fastestdet = aegis_ros.decoders.fastestdet:FastestDetDecoder",
            "instances = aegis_ros.decoders.instances:InstancesDecoder",
            "keypoints = aegis_ros.decoders.keypoints:KeypointsDecoder",
            "nanodet = aegis_ros.decoders.nanodet:NanoDetDecoder",
            "oriented = aegis_ros.decoders.oriented:OrientedDecoder",
            "raw = aegis_ros.decoders.raw:RawDecoder",
            "segmentation = aegis_ros.decoders.segmentation:SegmentationDecoder",
            "single_pose = aegis_ros.decoders.single_pose:SinglePoseDecoder",
            "text = aegis_ros.decoders.text:TextDecoder",
            "text_regions = aegis_ros.decoders.text_regions:TextRegionsDecoder",
        ],
    },
)
