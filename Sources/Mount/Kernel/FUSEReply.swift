import CFUSE
import Glibc

/// The answer to one request. A failure to write it is ignored: the process that waited was interrupted, or the file
/// system was unmounted.
struct FUSEReply: Sendable {
    let device: FUSEDevice
    let unique: UInt64

    /// - Parameter code: an `errno`.
    func fail(_ code: Int32) { send(-code, UnsafeRawBufferPointer(start: nil, count: 0)) }

    /// Answers without a value.
    func succeed() { fail(0) }

    func send(_ bytes: UnsafeRawBufferPointer) { send(0, bytes) }

    func send(_ bytes: [UInt8]) { bytes.withUnsafeBytes { send(0, $0) } }

    func send<Value: BitwiseCopyable>(_ value: Value) { withUnsafeBytes(of: value) { send(0, $0) } }

    private func send(_ error: Int32, _ bytes: UnsafeRawBufferPointer) {
        let size = MemoryLayout<fuse_out_header>.size
        var header = fuse_out_header(len: UInt32(size + bytes.count), error: error, unique: unique)
        withUnsafeMutableBytes(of: &header) { header in
            var parts = [
                iovec(iov_base: header.baseAddress, iov_len: header.count),
                iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count),
            ]
            while writev(device.descriptor, &parts, bytes.isEmpty ? 1 : 2) < 0, errno == EINTR {}
        }
    }
}
