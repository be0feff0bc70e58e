import NIOCore

/// Answers a plain http request on an https port. A client would not understand the error of TLS itself.
final class PlainHTTPRefusal: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The first byte of a TLS connection: the type of a handshake record.
    private static let handshake: UInt8 = 22
    private static let answer = {
        let text = "This port serves https only.\n"
        return
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: \(text.utf8.count)\r\nConnection: close\r\n\r\n\(text)"
    }()

    private enum State {
        case waiting, encrypted, refused
    }

    private var state = State.waiting

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch state {
        case .encrypted: context.fireChannelRead(data)
        case .refused: break
        case .waiting:
            let bytes = unwrapInboundIn(data)
            if bytes.readableBytesView.first == Self.handshake {
                state = .encrypted
                return context.fireChannelRead(data)
            }
            state = .refused
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: Self.answer)), promise: nil)
            // Closes after the written bytes. The client closes its side, or the idle timeout does.
            context.close(mode: .output, promise: nil)
        }
    }
}
