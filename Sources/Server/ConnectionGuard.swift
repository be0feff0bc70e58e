import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Closes connections whose client is too slow: it does not finish a request, or does not read a response. Also reports
/// to the `SendWindow` which bytes were sent.
///
/// (The idle timeout closes a connection with an incomplete request head: for Hummingbird the request has not begun.)
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    let window = SendWindow()
    let presence = ClientPresence()
    private let isEncrypted: Bool
    private let requestTime: TimeAmount
    private let stallTime: TimeAmount
    private var request: Scheduled<Void>?
    private var stall: Scheduled<Void>?
    /// Parts of responses that the kernel has not accepted yet.
    private var unsent = 0
    private var lastSent = NIODeadline.now()

    /// - Parameter isEncrypted: whether the connection uses TLS.
    init(isEncrypted: Bool, requestSeconds: Int, stallSeconds: Int) {
        self.isEncrypted = isEncrypted
        requestTime = .seconds(Int64(requestSeconds))
        stallTime = .seconds(Int64(stallSeconds))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(var head):
            request = context.eventLoop.assumeIsolated().scheduleTask(in: requestTime) { context.close(promise: nil) }
            // The framework marks every request as plain http.
            head.scheme = isEncrypted ? "https" : "http"
            return context.fireChannelRead(wrapInboundOut(.head(head)))
        case .body: break
        case .end: stopWaitingForRequest()
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let promise = promise ?? context.eventLoop.makePromise(of: Void.self)
        if unsent == 0 { lastSent = .now() }
        unsent += 1
        let bytes = if case .body(let buffer) = unwrapOutboundIn(data) { buffer.readableBytes } else { 0 }
        promise.futureResult.assumeIsolated().whenComplete { _ in
            self.window.release(bytes)
            self.unsent -= 1
            self.lastSent = .now()
        }
        if stall == nil { watch(context, from: lastSent) }
        context.write(data, promise: promise)
    }

    func channelInactive(context: ChannelHandlerContext) {
        stop()
        presence.leave()
        context.fireChannelInactive()
    }

    /// A client that has closed only its sending side cannot be told from one that has disconnected, until bytes are sent
    /// to it. As for other proxies, it has disconnected: fetches for it end. Responses from stored bytes are sent.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { presence.leave() }
        context.fireUserInboundEventTriggered(event)
    }

    func handlerRemoved(context: ChannelHandlerContext) { stop() }

    /// Checks the client after the stall time from `moment`, and again while parts are unsent.
    private func watch(_ context: ChannelHandlerContext, from moment: NIODeadline) {
        stall = context.eventLoop.assumeIsolated().scheduleTask(deadline: moment + stallTime) {
            self.stall = nil
            if self.unsent == 0 { return }
            if self.lastSent + self.stallTime <= .now() { return context.close(promise: nil) }
            self.watch(context, from: self.lastSent)
        }
    }

    private func stopWaitingForRequest() {
        request?.cancel()
        request = nil
    }

    private func stop() {
        stopWaitingForRequest()
        stall?.cancel()
        stall = nil
        window.close()
    }
}
