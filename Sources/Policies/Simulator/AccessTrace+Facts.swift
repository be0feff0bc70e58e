import Storage

extension AccessTrace.Object {
    /// The facts of the object when a simulated cache loads it.
    ///
    /// - Parameters:
    ///   - now: the time of the access.
    ///   - old: its heat at the last use before its eviction, and the time of that use; zeros if there was none.
    func facts(at now: Double, after old: (heat: Double, lastAccess: Double), clock: Double) -> EvictionFacts {
        var facts = EvictionFacts(bytes: bytes, kind: kind.rawValue)
        facts.lastAccess = now
        facts.accessCount = 1
        facts.heat = Heat.decayed(old.heat, seconds: now - old.lastAccess) + 1
        facts.clock = clock
        facts.insertedAt = now
        facts.fetchSeconds = fetchSeconds
        facts.layer = layer
        facts.modelCount = modelCount
        facts.depth = depth
        return facts
    }
}
