import WeightStore

/// What the store holds of the files of a revision, as text.
struct Stored {
    let text: String

    /// - Parameter sizes: bytes of the files; of these, bytes that are not stored, and of these, those that are damaged.
    init(_ sizes: (bytes: Int, absent: Int, damaged: Int)) {
        let here = max(sizes.bytes.subtracting(saturating: sizes.absent), 0)
        if sizes.damaged > 0 {
            text = "damaged"
        } else if sizes.absent == 0 {
            text = Quantity.percent(1)
        } else if here == 0 {
            text = "-"
        } else {
            // Neither all nor nothing, however small the rest is.
            let whole = (Double(here) / Double(sizes.bytes) * 100).rounded(.down)
            text = Quantity.percent(min(max(whole, 1), 99) / 100)
        }
    }
}
