import Foundation
import WeightStore

/// An engine as small as an engine can be: it streams the layers of a BERT through RAM and computes with them.
///
///     example-engine STORE MODEL forward TOKEN …          hidden states behind the first layer and the last, as JSON
///     example-engine STORE MODEL checksum [DIRECTORY]     of the embeddings of all tokens
///
/// With a directory, `checksum` computes when two others have loaded the model as well, and holds it until then.
@main
struct ExampleEngine {
    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        guard arguments.count >= 3 else { throw Usage() }
        let store = try Store(at: arguments[0])
        let revision = try store.revision(arguments[1])
        switch arguments[2] {
        case "forward":
            let tokens = try arguments.dropFirst(3).map { argument -> Int in
                guard let token = Int(argument) else { throw Usage() }
                return token
            }
            try await forward(tokens, revision)
        case "checksum":
            let lease = try await revision.leaseRest(in: .ram)
            if arguments.count > 3 { try Barrier(arguments[3]).join(as: "swift") }
            print(try Embeddings(lease).checksum())
        default: throw Usage()
        }
    }

    private static func forward(_ tokens: [Int], _ revision: Revision) async throws {
        var config = Data()
        try revision.read("config.json") { config.append(contentsOf: $0) }
        let model = try JSONDecoder().decode(BERTConfig.self, from: config)
        let embeddings = try Embeddings(try await revision.leaseRest(in: .ram))
        var states = try embeddings.states(of: tokens, epsilon: model.epsilon)
        var first: [Float] = []
        // While a layer is computed, the next ones are loaded.
        for try await layer in try revision.stream(to: .ram) {
            states = try BERTLayer(layer, model).states(after: states)
            if first.isEmpty { first = states.values }
            // At once, not when the value is released: only shards without a lease can be evicted for the next layers.
            layer.release()
        }
        let answer = ["first": first, "last": states.values]
        print(String(decoding: try JSONEncoder().encode(answer), as: UTF8.self))
    }

    struct Usage: Error {}
}
