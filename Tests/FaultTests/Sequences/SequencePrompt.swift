/// The prompts whose KV blocks are put, and the bytes of these blocks. Prompts 0 and 1 share their first block.
enum SequencePrompt {
    /// The number of prompts.
    static let count = 3
    /// The blocks of each.
    static let blocks = 3
    static let blockTokens = 4
    static let blockBytes = 256
    static let format = "test"

    static func tokens(_ prompt: Int) -> [UInt32] {
        (0..<blocks * blockTokens).map { index in
            let isShared = prompt == 1 && index < blockTokens
            return UInt32((isShared ? 0 : prompt * 100) + index)
        }
    }

    /// The bytes of all blocks: no two blocks have the same.
    static func bytes(_ prompt: Int) -> [UInt8] {
        (0..<blocks).flatMap { block -> [UInt8] in
            let number = prompt == 1 && block == 0 ? 0 : prompt * blocks + block
            return (0..<blockBytes).map { UInt8(truncatingIfNeeded: $0 * (number + 3) + number) }
        }
    }

    /// How many blocks of a prompt are stored at most, if the blocks of `others` were put.
    static func most(_ prompt: Int, of others: Set<Int>) -> Int {
        if others.contains(prompt) { return blocks }
        return prompt < 2 && !others.isDisjoint(with: [0, 1]) ? 1 : 0
    }
}
