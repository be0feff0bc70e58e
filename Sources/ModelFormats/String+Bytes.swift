import Glibc

extension String {
    /// Whether the bytes of the text are before those of another one.
    package func precedes(inBytes other: String) -> Bool {
        var (left, right) = (self, other)
        return left.withUTF8 { left in
            right.withUTF8 { right in
                // An empty text may have no address.
                let common = min(left.count, right.count)
                guard common > 0, let one = left.baseAddress, let two = right.baseAddress else {
                    return left.count < right.count
                }
                let order = memcmp(one, two, common)
                return order == 0 ? left.count < right.count : order < 0
            }
        }
    }
}
