import Foundation
import Glibc

/// A free port of this machine's loopback address, which the kernel picks. As long as the value lives, the kernel gives
/// the port to no other process, and a server that sets SO_REUSEADDR can listen there, also after a restart.
///
/// For servers that must know their port beforehand; all others listen on port 0.
package final class FreePort: Sendable {
    package let number: Int
    private let descriptor: Int32

    package init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        // A child process would keep the port.
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout.size(ofValue: on)))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) | getsockname(descriptor, $0, &length)
            }
        }
        number = Int(UInt16(bigEndian: address.sin_port))
        guard code == 0 else { throw CocoaError(.fileReadUnknown) }
    }

    deinit { close(descriptor) }
}
