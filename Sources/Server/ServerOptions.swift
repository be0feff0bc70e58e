/// The address and the limits of a ``HubServer``.
public struct ServerOptions: Sendable {
    /// The name or address to bind to.
    public var host = "127.0.0.1"
    /// The port; with 0 the system picks a free one.
    public var port = 8000
    /// The tokens of which clients must send one. nil allows every client; with an empty list, every request that needs a
    /// token is refused.
    public var tokens: [AccessToken]?
    /// Returns the tokens if they have changed since the last call, and nil otherwise. The server calls it every few
    /// seconds, on a thread that may block. An error is logged, and the previous tokens stay in use.
    public var changedTokens: (@Sendable () throws -> [AccessToken]?)?
    /// With a certificate the server serves https only; nil means plain http.
    public var certificate: ServerCertificate?
    /// The port of a second listener, for the operator alone: `/metrics`, `/livez`, `/readyz`. It has threads of its own, so it
    /// answers while the others are busy. With 0 the system picks a free one; nil means no such listener. Its host and
    /// certificate are those of the server, and `/metrics` needs a token there, too, if the server requires one.
    public var adminPort: Int?
    /// When the server is ready.
    public var readiness = ReadinessRules()
    /// The version and the commit of the program, for the metrics.
    public var build = (version: "", commit: "")
    /// Returns the state of the node of a fleet, for the metrics. Called on a thread that may block.
    public var nodeState: (@Sendable () throws -> NodeState)?
    /// Returns the state of the fleet, for the dashboard of a node. Called on a thread that may block.
    public var fleet: (@Sendable () throws -> FleetOverview)?
    /// The most open connections; further ones wait until one is closed.
    public var connections = 4096
    /// Seconds that a connection may stay without a request, or take to send the head of one.
    public var idleSeconds = 30
    /// Seconds that a request may take to arrive.
    public var requestSeconds = 30
    /// Seconds that a client may read nothing of its response.
    public var stallSeconds = 60
    /// Seconds that responses in progress have to end after ``HubServer/stop()``.
    public var drainSeconds = 20
    /// The hub to which requests for datasets, spaces and kernels are redirected, such as `https://huggingface.co`; nil
    /// answers them with 404. A server that requires a token does not redirect.
    public var upstream: String?
    /// The most entries of a list in one response.
    public var pageEntries = 1000

    /// Options with the default limits.
    ///
    /// - Parameters:
    ///   - host: the name or address to bind to.
    ///   - port: the port; with 0 the system picks a free one.
    ///   - tokens: the tokens of which clients must send one; nil allows every client.
    public init(host: String = "127.0.0.1", port: Int = 8000, tokens: [AccessToken]? = nil) {
        self.host = host
        self.port = port
        self.tokens = tokens
    }
}
