import ArgumentParser

/// The dashboard and the alerts that belong to the metrics of this program.
struct MonitoringCommand: ParsableCommand {
    enum Part: String, ExpressibleByArgument, CaseIterable { case dashboard, alerts }

    static let configuration = CommandConfiguration(
        commandName: "monitoring",
        abstract: "Print the dashboard for Grafana, or the alerts for Prometheus.",
        discussion: """
            Both use the metrics that "weightstore serve" and "weightstore node" have under /metrics. Import the dashboard in \
            Grafana, and name the file of the alerts under rule_files in prometheus.yml.
            """
    ).examples(
        "monitoring dashboard > weightstore.json", "monitoring alerts | sudo tee /etc/prometheus/weightstore.yml")

    @Argument(help: "dashboard or alerts.", completion: .list(Part.allCases.map(\.rawValue))) var part: Part

    func run() throws {
        let bytes = part == .dashboard ? PackageResources.dashboard_json : PackageResources.alerts_yml
        try Terminal.write(String(decoding: bytes, as: UTF8.self))
    }
}
