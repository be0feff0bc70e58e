import TestSupport
import Testing
import WeightStore

/// The URLs in messages of errors.
@Suite(.blocking) struct ErrorURLTests {
    private let url = "https://user:topsecret@hub.example/?token=topsecret"

    @Test("the message of an error names the origin without its user, password and token")
    func errors() {
        let digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        let fetch = FetchError.unusable(url: url, reason: "not a hub")
        let failures = [OriginFailure(origin: url, error: .fetch(fetch))]
        let errors: [any Error] = [
            fetch, FetchError.notFound(what: "file", url: "\(url) a.json"),
            StoreError.originFailed(origin: url, digest: digest, reason: "down"), StoreError.originsFailed(failures),
            StoreError.originNeeded(origin: url, revision: "org/model@~1", shards: 1),
        ]
        for error in errors {
            let text = "\(error)"
            #expect(text.contains("https://***@hub.example/?token=***") && !text.contains("topsecret"), "\(text)")
        }
        // The cause names it already.
        #expect("\(failures[0])" == "https://***@hub.example/?token=***: not a hub.")
    }
}
