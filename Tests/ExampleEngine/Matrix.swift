import Glibc

/// Floats in rows.
struct Matrix {
    let rows: Int
    let columns: Int
    var values: [Float]

    init(rows: Int, columns: Int, values: [Float]? = nil) {
        self.rows = rows
        self.columns = columns
        self.values = values ?? [Float](repeating: 0, count: rows * columns)
    }

    subscript(row: Int, column: Int) -> Float {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }

    /// `self · otherᵀ + bias`: a linear layer.
    func timesTransposed(_ other: Matrix, plus bias: Matrix) -> Matrix {
        var result = Matrix(rows: rows, columns: other.rows)
        values.withUnsafeBufferPointer { left in
            other.values.withUnsafeBufferPointer { right in
                for row in 0..<rows {
                    for column in 0..<other.rows {
                        var sum = bias.values[column]
                        let (start, otherStart) = (row * columns, column * columns)
                        var index = 0
                        while index < columns {
                            sum += left[start + index] * right[otherStart + index]
                            index += 1
                        }
                        result[row, column] = sum
                    }
                }
            }
        }
        return result
    }

    func adding(_ other: Matrix) -> Matrix {
        Matrix(rows: rows, columns: columns, values: zip(values, other.values).map { $0 + $1 })
    }

    /// Layer normalization of each row.
    func normalized(_ scale: Matrix, _ shift: Matrix, _ epsilon: Float) -> Matrix {
        var result = self
        for row in 0..<rows {
            let part = values[row * columns..<(row + 1) * columns]
            let mean = part.reduce(0, +) / Float(columns)
            let variance = part.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(columns)
            let factor = 1 / (variance + epsilon).squareRoot()
            for column in 0..<columns {
                result[row, column] = (self[row, column] - mean) * factor * scale.values[column] + shift.values[column]
            }
        }
        return result
    }

    /// The exact form, with the error function.
    func gelu() -> Matrix {
        Matrix(rows: rows, columns: columns, values: values.map { $0 * 0.5 * (1 + erff($0 / Float(2).squareRoot())) })
    }
}

func softmax(_ scores: [Float]) -> [Float] {
    let highest = scores.max() ?? 0
    let powers = scores.map { expf($0 - highest) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
}
