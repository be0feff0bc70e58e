/// A file of `Assets/` that each page contains.
enum DashboardAsset {
    case style, script

    private static let styleText = String(decoding: PackageResources.dashboard_css, as: UTF8.self)
    private static let scriptText = String(decoding: PackageResources.dashboard_js, as: UTF8.self)

    /// The contents of the file.
    var text: String {
        switch self {
        case .style: Self.styleText
        case .script: Self.scriptText
        }
    }
}
