import NIOCore

/// Tells a client that speaks plain http where https is spoken. TLS itself has no words that it would show.
final class PlainHTTPRefusal: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What a TLS connection begins with: a record of the handshake.
    private static let handshake: UInt8 = 22
    private static let answer = {
        let text = "This port speaks https.\n"
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
            // Behind what was written; the client closes the rest, or is idle.
            context.close(mode: .output, promise: nil)
        }
    }
}
