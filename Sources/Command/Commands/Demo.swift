import ArgumentParser
import Foundation
import WeightStore

struct Demo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Import a model, list it, read one layer back and check it.",
        discussion: """
            A given directory is imported into the store, as by import. Otherwise a checkpoint with the shapes of a \
            published model is generated, and deleted with its store afterwards.
            """
    ).examples("demo")

    @Argument(help: "A model's directory.", completion: .directory) var directory: String?
    @Option(help: ArgumentHelp("The model's name.", valueName: "org/name")) var name: String?
    @OptionGroup var options: StoreLocation

    func run() throws {
        if let directory { return try show(directory, in: options.path) }
        let place = NSTemporaryDirectory() + "weightstore-demo-\(getpid())"
        defer {
            // After a failure the files stay in the directory for temporary files.
            try? FileManager.default.removeItem(atPath: place)
        }
        Signals.whenEnded { try? FileManager.default.removeItem(atPath: place) }
        let architecture = Architecture.default
        try Terminal.write(
            "No model given: generating one with the shapes of \(architecture.name) and random weights.\n")
        let model = "\(place)/\(architecture.name)"
        try Checkpoint(shape: architecture).writeShowingProgress(to: model)
        try show(model, in: place + "/store")
    }

    private func show(_ directory: String, in place: String) throws {
        let importing = try Import.parse(
            [directory, "--store", place] + (name.map { ["--name", $0] } ?? []))
        let model = try importing.plan()[0].model
        try step("weightstore import \(directory)")
        try importing.run()
        try step("weightstore ls")
        try List.parse(["--store", place]).run()

        let store = try Store(at: place)
        let revision = try store.revision(model)
        if let layer = try revision.layers().last {
            try step("weightstore tensors \(model) --layer \(layer.number)")
            try Tensors.parse([model, "--layer", "\(layer.number)", "--store", place]).run()
            let checked = try check(revision.layer(layer.number), against: directory)
            try Terminal.write(
                "Layer \(layer.number), read from the store: \(Quantity.count(checked.tensors, "tensor")), "
                    + "\(Quantity.bytes(checked.bytes)), byte for byte those of \(directory).\n")
        }
        var files = 0
        for file in try revision.files() {
            try compare(revision, file.path, with: "\(directory)/\(file.path)")
            files += 1
        }
        try Terminal.write("\(Quantity.count(files, "file")) read back with the SHA-256 of the original.\n")
    }

    private func step(_ command: String) throws { try Terminal.write("\n$ \(command)\n") }

    /// Compares a layer's mapped bytes with the original files, which are read without the store.
    private func check(_ layer: Layer, against directory: String) throws -> (tensors: Int, bytes: Int) {
        var layouts: [String: (data: Data, layout: FileLayout)] = [:]
        for tensor in layer.tensors {
            let path = "\(directory)/\(tensor.entry.file)"
            if layouts[path] == nil {
                let data = try Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped)
                layouts[path] = (data, try FileLayout.read(MappedSource(name: path, data: data), path: path))
            }
            let (data, layout) = layouts[path]!
            guard let info = layout.tensors.first(where: { $0.name == tensor.entry.name }),
                tensor.bytes.withUnsafeBytes({ bytes in
                    data[info.offset..<info.offset + info.bytes].elementsEqual(bytes)
                })
            else {
                throw StorageError.damaged(
                    path: path, digest: tensor.bytes.blob.digest, expected: "the bytes of the file",
                    found: "tensor \(tensor.entry.name) differs")
            }
        }
        return (layer.tensors.count, layer.bytes)
    }

    /// Reads a file out of the store and compares its SHA-256 with that of the original, read again.
    private func compare(_ revision: Revision, _ path: String, with original: String) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: original), options: .alwaysMapped)
        let expected = data.withUnsafeBytes { ContentDigest(of: $0) }
        try revision.read(path) { _ in }
        guard let file = try revision.files().first(where: { $0.path == path }), file.digest == expected else {
            throw StorageError.damaged(
                path: original, digest: expected, expected: "SHA-256 \(expected.short)", found: "another file")
        }
    }
}

/// A file that is mapped by Foundation, independent of the store's own reading.
private struct MappedSource: ByteSource {
    let name: String
    let data: Data
    var count: Int { data.count }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        data.copyBytes(to: buffer, from: offset..<offset + buffer.count)
    }
}
