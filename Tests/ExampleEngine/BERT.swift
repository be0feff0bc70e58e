import WeightStore

struct BERTConfig: Decodable {
    let heads: Int
    let epsilon: Float

    enum CodingKeys: String, CodingKey {
        case heads = "num_attention_heads"
        case epsilon = "layer_norm_eps"
    }
}

/// Weights by name, from a lease: each is read where the store has mapped it.
struct Weights {
    let lease: Lease

    /// A tensor of 32-bit floats; a vector is a matrix of one row.
    func matrix(_ name: String) throws -> Matrix {
        let tensor = try lease.tensor(name)
        precondition(tensor.entry.dtype == "F32", "\(name) is \(tensor.entry.dtype)")
        let columns = tensor.entry.shape.last ?? 1
        return try lease.withUnsafeBytes(of: tensor) { bytes in
            Matrix(
                rows: bytes.count / 4 / max(columns, 1), columns: columns,
                values: Array(bytes.bindMemory(to: Float.self)))
        }
    }
}

/// The part before the layers: embeddings of words, positions and token types.
struct Embeddings {
    private let words, positions, types, scale, shift: Matrix

    init(_ lease: Lease) throws {
        let weights = Weights(lease: lease)
        words = try weights.matrix("embeddings.word_embeddings.weight")
        positions = try weights.matrix("embeddings.position_embeddings.weight")
        types = try weights.matrix("embeddings.token_type_embeddings.weight")
        scale = try weights.matrix("embeddings.LayerNorm.weight")
        shift = try weights.matrix("embeddings.LayerNorm.bias")
    }

    func states(of tokens: [Int], epsilon: Float) throws -> Matrix {
        var states = Matrix(rows: tokens.count, columns: words.columns)
        for (position, token) in tokens.enumerated() {
            for column in 0..<words.columns {
                states[position, column] = sum(token, position, column)
            }
        }
        return states.normalized(scale, shift, epsilon)
    }

    private func sum(_ token: Int, _ position: Int, _ column: Int) -> Float {
        words[token, column] + positions[position, column] + types[0, column]
    }

    /// Over the embeddings of all tokens, each at a position of its number, before their normalization: the bits of
    /// each sum, times a weight that depends on the place, modulo 2^64. Integer additions, so that every language
    /// computes the same.
    func checksum() -> UInt64 {
        var checksum: UInt64 = 0
        var place: UInt64 = 0
        for token in 0..<words.rows {
            for column in 0..<words.columns {
                checksum &+= UInt64(sum(token, token % positions.rows, column).bitPattern) &* (place % 65521 + 1)
                place += 1
            }
        }
        return checksum
    }
}

/// One layer: attention and the feed-forward network.
struct BERTLayer {
    private let weights: Weights
    private let prefix: String
    private let config: BERTConfig

    init(_ lease: Lease, _ config: BERTConfig) {
        weights = Weights(lease: lease)
        prefix = "encoder.layer.\(lease.layer ?? 0)."
        self.config = config
    }

    func states(after input: Matrix) throws -> Matrix {
        let query = try linear(input, "attention.self.query")
        let key = try linear(input, "attention.self.key")
        let value = try linear(input, "attention.self.value")
        let attended = attention(query, key, value)
        let middle = try normalized(
            try linear(attended, "attention.output.dense").adding(input), "attention.output.LayerNorm")
        let wide = try linear(middle, "intermediate.dense").gelu()
        return try normalized(try linear(wide, "output.dense").adding(middle), "output.LayerNorm")
    }

    private func linear(_ input: Matrix, _ name: String) throws -> Matrix {
        input.timesTransposed(
            try weights.matrix(prefix + name + ".weight"), plus: try weights.matrix(prefix + name + ".bias"))
    }

    private func normalized(_ input: Matrix, _ name: String) throws -> Matrix {
        input.normalized(
            try weights.matrix(prefix + name + ".weight"), try weights.matrix(prefix + name + ".bias"), config.epsilon)
    }

    private func attention(_ query: Matrix, _ key: Matrix, _ value: Matrix) -> Matrix {
        let width = query.columns / config.heads
        var result = Matrix(rows: query.rows, columns: query.columns)
        for head in 0..<config.heads {
            let columns = head * width..<(head + 1) * width
            for row in 0..<query.rows {
                let scores = (0..<key.rows).map { other in
                    columns.reduce(0 as Float) { $0 + query[row, $1] * key[other, $1] } / Float(width).squareRoot()
                }
                for (other, share) in softmax(scores).enumerated() {
                    for column in columns { result[row, column] += share * value[other, column] }
                }
            }
        }
        return result
    }
}
