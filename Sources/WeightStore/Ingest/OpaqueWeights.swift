import Files
import Support

/// Files of weights in formats of which no tensors are read: a store keeps them as they are, for the engines that read them.
enum OpaqueWeights {
    /// Whether a file's extension, in any case, is that of such a format.
    static func isNamed(_ path: String) -> Bool {
        let name = FileSystem.name(of: path).lowercased()
        return suffixes.contains { name.hasByteSuffix($0) } && !name.hasBytePrefix(".")
    }

    private static let suffixes = [
        // PyTorch, and what its exporters write
        ".bin", ".pt", ".pth", ".pt2", ".pte", ".ckpt", ".pth.tar", ".nemo",
        // ONNX, TensorRT, OpenVINO (its weights are a .bin), ncnn, MNN
        ".onnx", ".ort", ".engine", ".plan", ".param", ".mnn",
        // TensorFlow, LiteRT, Keras, JAX
        ".pb", ".tflite", ".litertlm", ".task", ".h5", ".hdf5", ".keras", ".msgpack", ".npz", ".npy",
        // Core ML
        ".mlmodel",
        // PaddlePaddle
        ".pdparams", ".pdiparams", ".pdmodel",
        // fastText, whisper.cpp and llama.cpp
        ".ftz", ".ggml", ".llamafile",
    ]
}
