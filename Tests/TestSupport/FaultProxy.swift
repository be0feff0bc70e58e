import Foundation
import Glibc
import Support
import Synchronization

/// Forwards TCP connections to a port, and injects faults on the way back.
package final class FaultProxy: Sendable {
    package enum Fault: Sendable {
        /// The connection is reset.
        case reset(after: Int)
        /// It is closed early, as if all had been sent.
        case close(after: Int)
        /// No more bytes are sent.
        case stall(after: Int)
        /// All bytes are sent, at about 50 kB/s.
        case trickle
        /// One byte is changed.
        case flip(at: Int)
    }

    package let port: Int
    private let target: Int
    private let listener: Int32
    private let faults: Mutex<[Fault]>
    /// Bytes that were forwarded to the client.
    private let passed = Atomic<Int>(0)

    package var bytes: Int { passed.load(ordering: .relaxed) }
    /// The faults that have not been injected.
    package var left: Int { faults.withLock(\.count) }

    /// - Parameter faults: each connection gets one, in order; the positions count bytes from the server. Without a
    ///   fault left, connections work.
    package init(to target: Int, _ faults: [Fault] = []) throws {
        self.target = target
        self.faults = Mutex(faults)
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = Self.address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) | listen(listener, 128) | getsockname(listener, address, &length)
            }
        }
        guard code == 0 else { throw CocoaError(.fileReadUnknown) }
        port = Int(UInt16(bigEndian: address.sin_port))
        try startThread { [weak self] in
            while case let client = accept(listener, nil, nil), client >= 0 {
                try? startThread { [weak self] in self?.serve(client) }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = UInt16(port).bigEndian
        return address
    }

    private func serve(_ client: Int32) {
        let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = Self.address(target)
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else {
            for end in [client, server] { close(end) }
            return
        }
        let fault = faults.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        try? startThread { Self.copy(from: client, to: server) { $0.count } }
        var seen = 0
        var piece = 65536
        if case .trickle = fault { piece = 1024 }
        Self.copy(from: server, to: client, piece) { part in
            defer { seen += part.count }
            var count = part.count
            switch fault {
            case .reset(let after), .close(let after), .stall(let after): count = min(count, max(after - seen, 0))
            case .flip(let place):
                if (seen..<seen + count).contains(place) { part[place - seen] ^= 1 }
            case .trickle:
                // In small pieces: each read has a limit, see below.
                usleep(20_000)
            case nil: break
            }
            passed.add(count, ordering: .relaxed)
            return count
        }
        switch fault {
        case .reset:
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        case .stall: sleep(4)
        default: break
        }
        shutdown(server, Int32(SHUT_RDWR))
        if case .reset = fault {} else { shutdown(client, Int32(SHUT_RDWR)) }
        close(client)
        close(server)
    }

    /// - Parameter pass: how many of the bytes to pass on; fewer than the piece has end the connection.
    private static func copy(
        from source: Int32, to target: Int32, _ piece: Int = 65536, _ pass: (UnsafeMutableBufferPointer<UInt8>) -> Int
    ) {
        var buffer = [UInt8](repeating: 0, count: piece)
        while true {
            let count = recv(source, &buffer, buffer.count, 0)
            if count <= 0 { return }
            let passed = buffer.withUnsafeMutableBufferPointer {
                pass(UnsafeMutableBufferPointer(rebasing: $0[..<count]))
            }
            var done = 0
            while done < passed {
                let sent = buffer.withUnsafeBytes {
                    send(target, $0.baseAddress! + done, passed - done, Int32(MSG_NOSIGNAL))
                }
                if sent <= 0 { return }
                done += sent
            }
            if passed < count { return }
        }
    }
}
