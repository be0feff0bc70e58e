import CFUSE
import Files
import Glibc
import Support

/// An open `/dev/fuse`: requests of the kernel are read from it, and each reply is written to the descriptor from which
/// its request was read.
final class FUSEDevice: Sendable {
    static let path = "/dev/fuse"

    let descriptor: Int32

    /// Owns the descriptor.
    init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Opens the device, which belongs to no mount yet.
    ///
    /// - Throws: ``MountError/noDevice(path:code:)``.
    convenience init(for target: String) throws(MountError) {
        let descriptor = open(Self.path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { throw .noDevice(path: target, code: errno) }
        self.init(owning: descriptor)
    }

    /// Another descriptor of the same mount, with a queue of its own, so that threads do not contend for one.
    ///
    /// - Returns: nil if the kernel or the permissions of the device do not allow it.
    func clone() -> FUSEDevice? {
        guard let device = try? FUSEDevice(for: Self.path) else { return nil }
        return cfuse_clone(device.descriptor, descriptor) == 0 ? device : nil
    }

    /// The result of a read of the device.
    enum Incoming {
        case request(count: Int)
        /// The file system was unmounted.
        case unmounted
        case failed(code: Int32)
    }

    /// Waits for the next request, and reads it into a buffer.
    func next(into buffer: UnsafeMutableRawBufferPointer) -> Incoming {
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count >= 0 { return .request(count: count) }
            switch errno {
            // ENOENT: the request was interrupted before it was read.
            case EINTR, ENOENT, EAGAIN: continue
            case ENODEV: return .unmounted
            default: return .failed(code: errno)
            }
        }
    }
}
