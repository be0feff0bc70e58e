/// A page of the dashboard, or its data.
package enum DashboardRoute: Equatable, Sendable {
    /// `/`: all sections.
    case overview
    /// `/disk`: a section alone.
    case section(DashboardSection)
    /// `/models/org/name`.
    case model(String)
    /// `/api/weightstore/disk`: the data of a section.
    case data(DashboardSection)
    /// `/api/weightstore/details/org/name`: the data of a model's page.
    case details(String)
    /// `/api/weightstore/updates`: the stream of changes.
    case updates
}

/// A section of the dashboard, by its address.
package enum DashboardSection: String, CaseIterable, Sendable {
    case tiers, activity, disk, models, sizing, fleet, events
}
