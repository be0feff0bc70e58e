/// How a ``HubServer`` is to listen, and what it puts up with.
public struct ServerOptions: Sendable {
    /// The name or address to bind to.
    public var host = "127.0.0.1"
    /// 0 lets the system pick one.
    public var port = 8000
    /// Who may ask; nil means everybody who reaches the port.
    public var token: AccessToken?
    /// With it the server speaks https, and nothing else; nil means plain http.
    public var certificate: ServerCertificate?
    /// Open connections at most; more wait until one is closed.
    public var connections = 4096
    /// Seconds that a connection may stay without a request, or take for the head of one.
    public var idleSeconds = 30
    /// Seconds that a request may take to arrive.
    public var requestSeconds = 30
    /// Seconds that a client may take nothing of what is sent to it.
    public var stallSeconds = 60
    /// Seconds that answers under way get after a request to stop.
    public var drainSeconds = 20
    /// Entries of a list in one answer at most.
    public var pageEntries = 1000

    public init(host: String = "127.0.0.1", port: Int = 8000, token: AccessToken? = nil) {
        self.host = host
        self.port = port
        self.token = token
    }
}
