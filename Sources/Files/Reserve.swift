import Glibc

/// A few MiB of disk, released when the disk is full so that `gc` can run: without any free space SQLite can neither
/// open a database nor commit a removal.
///
/// Opening a store on a full disk releases the reserve; closing the store restores as much of it as possible, so that
/// `ls` does not use up the space that `gc` needs. So do a removal and a collection (`SpareReserve`). An import, which
/// may fill the disk, starts only with the reserve in place.
package struct Reserve {
    /// The full size.
    package static let bytes = 8 << 20
    private static let step = 64 << 10

    package let path: String

    package init(path: String) {
        self.path = path
    }

    /// Allocates the reserve, unless it exists or would take more than a quarter of the available space.
    package func restore() throws {
        if let status = try FileSystem.status(path), status.bytes == Self.bytes { return }
        guard try FileSystem.availableBytes(FileSystem.parent(of: path)) > 4 * Self.bytes else { return }
        // If other writers filled the disk meanwhile, the next gc tries again.
        _ = try allocate(Self.bytes)
    }

    /// Allocates as much of the reserve as there is space for. Waits for half a second at most if there is none: a thread
    /// that ends a failed import may keep its removed files open for a moment longer.
    package func reclaim() throws {
        for milliseconds: UInt32 in [0, 20, 80, 400] {
            if milliseconds > 0 { usleep(milliseconds * 1000) }
            if try reclaimNow() { return }
        }
    }

    /// - Returns: whether there is a reserve.
    private func reclaimNow() throws -> Bool {
        if FileSystem.exists(path) { return true }
        let free = try FileSystem.freeBytes(FileSystem.parent(of: path))
        // A little less than is free: the file system needs blocks for the file's metadata.
        for attempt in 0..<8 {
            let bytes = min(free / Self.step * Self.step, Self.bytes) - (attempt * attempt) * Self.step
            if bytes <= 0 { return false }
            if try allocate(bytes) { return true }
        }
        return false
    }

    /// Throws ``FileError/diskFull(path:lacksInodes:)`` if the reserve is missing and there is no space for one.
    package func require() throws {
        if FileSystem.exists(path) { return }
        try reclaim()
        guard FileSystem.exists(path) else { throw FileError.diskFull(path: path) }
    }

    /// Releases the space.
    package func release() throws {
        try FileSystem.remove(path)
    }

    /// - Returns: false, with the file removed, if the disk has too little space.
    private func allocate(_ bytes: Int) throws -> Bool {
        let file = try StoreFile.open(path, O_RDWR)
        if posix_fallocate(file.raw, 0, off_t(bytes)) == 0 { return true }
        try release()
        return false
    }
}

/// The reserve as one call uses it: released when the disk is full, and restored with the call's end.
package final class SpareReserve {
    private let reserve: Reserve
    private var isReleased = false

    package init(_ reserve: Reserve) { self.reserve = reserve }

    /// Runs `body`, and once more with the space of the reserve if the disk is full.
    package func retrying<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch FileError.diskFull where !isReleased && FileSystem.exists(reserve.path) {
            isReleased = true
            try reserve.release()
            return try body()
        }
    }

    deinit {
        // If the disk is full again, the reserve stays smaller, and the next gc restores it.
        if isReleased { try? reserve.reclaim() }
    }
}
