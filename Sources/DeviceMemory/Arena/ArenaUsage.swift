/// Sizes (in bytes) and counts of an arena. `free` and `largest` count free bytes in the slabs held, not the remaining
/// budget.
package struct ArenaUsage: Equatable, Sendable {
    package var budget: Int
    package var held: Int
    package var used: Int
    package var free: Int
    /// The largest free block.
    package var largest: Int
    package var regions: Int
    /// Number of free blocks.
    package var pieces: Int
    package var slabs: Int
}
