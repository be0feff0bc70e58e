import HTTPTypes
import NIOHTTP1
import Support
import WireFormats

/// The answers on the listener of the operator.
extension Responder {
    /// The answer to a request that needs no store; nil for the others.
    func immediateAdminAnswer(_ request: HTTPRequestHead) -> Answer? {
        do {
            let route = try Self.route(request)
            if route == .live { return operation.life() }
            guard [.ready, .metrics].contains(route) else { throw HubError.noPage }
            return nil
        } catch {
            return Answer(HubError(error))
        }
    }

    /// The answer to another request. Blocks.
    func adminAnswer(_ request: HTTPRequestHead) -> Answer {
        do {
            let route = try Self.route(request)
            let field = request.headers.first(name: "Authorization")
            _ = try AccessToken.client(field, reading: route.content, among: tokens)
            if route == .metrics { return try operation.expositionBlocking() }
            let mayName = (try? AccessToken.client(field, reading: .store, among: tokens)) != nil || tokens == nil
            return try operation.readinessBlocking(namesShards: mayName)
        } catch {
            let failure = HubError(error)
            if failure.isOfServer {
                logger.error("\(request.method) \(AccessLine.printable(request.uri)): \(error)")
            }
            return Answer(failure)
        }
    }

    private static func route(_ request: HTTPRequestHead) throws(HubError) -> Route {
        guard [.GET, .HEAD].contains(request.method) else { throw .method(allowed: "GET, HEAD") }
        return try Route(request.uri.byteParts("?", maxSplits: 1)[0])
    }
}
