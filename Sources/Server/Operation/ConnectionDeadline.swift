import NIOCore

/// Closes a connection that carries one request: after ``requestTime`` without a whole request, and after ``life`` in any case.
///
/// Neither time restarts when bytes arrive, so a client that sends or reads slowly holds no connection. It is the first
/// handler of its channel: what it closes is the socket, without the end of TLS, which needs an answer.
final class ConnectionDeadline: ChannelInboundHandler {
    typealias InboundIn = NIOAny

    private static let requestTime = TimeAmount.seconds(10)
    private static let life = TimeAmount.seconds(30)

    private var requestEnd: Scheduled<Void>?
    private var lifeEnd: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        let loop = context.eventLoop.assumeIsolated()
        requestEnd = loop.scheduleTask(in: Self.requestTime) { context.close(promise: nil) }
        lifeEnd = loop.scheduleTask(in: Self.life) { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        requestEnd?.cancel()
        lifeEnd?.cancel()
    }

    /// A whole request has arrived. Called on the event loop of the channel.
    func requestArrived() { requestEnd?.cancel() }
}
