import Testing
import WeightStore
import WireFormats

/// Errors of the store as responses.
struct HubErrorTests {
    @Test("if several origins fail, the response is that of the first fault that is not an absence")
    func severalOrigins() {
        let absent = FetchError.notFound(what: "file x", url: "https://hub.test/x", status: 404)
        let denied = FetchError.unauthorized(url: "https://other.test/x", status: 403, message: "", code: "GatedRepo")
        let error = StoreError.originsFailed([
            OriginFailure(origin: "https://hub.test", error: .fetch(absent)),
            OriginFailure(origin: "https://other.test", error: .fetch(denied)),
        ])
        #expect(HubError(error) == .upstreamDenied(status: 403, code: "GatedRepo", message: ""))
    }
}
