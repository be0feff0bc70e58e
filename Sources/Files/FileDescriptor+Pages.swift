import CLinux
import Glibc

/// Advice about the page cache. The corresponding C function is `posix_fadvise`; its failures are ignored, because they
/// change no result.
extension FileDescriptor {
    /// Starts to read a range into the page cache (`POSIX_FADV_WILLNEED`).
    package func readAhead(_ range: Range<Int>) {
        _ = posix_fadvise(raw, off_t(range.lowerBound), off_t(range.count), POSIX_FADV_WILLNEED)
    }

    /// Reads through this descriptor load only the pages that they need (`POSIX_FADV_RANDOM`).
    package func disableReadAhead() { _ = posix_fadvise(raw, 0, 0, POSIX_FADV_RANDOM) }

    /// Removes the file's pages from the page cache, except dirty and mapped ones (`POSIX_FADV_DONTNEED`).
    package func dropPages() { _ = posix_fadvise(raw, 0, 0, POSIX_FADV_DONTNEED) }

    /// Whether all pages of a range are known to be in the page cache. The corresponding C function is `cachestat`; where the
    /// kernel lacks it or does not answer this user, nothing is known.
    package func isCached(_ range: Range<Int>) -> Bool {
        guard !range.isEmpty else { return true }
        let pages = (range.upperBound - 1) / FileMapping.pageBytes - range.lowerBound / FileMapping.pageBytes + 1
        return clinux_cached_pages(raw, Int64(range.lowerBound), Int64(range.count)) == pages
    }
}
