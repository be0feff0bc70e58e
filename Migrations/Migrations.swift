/// The numbered schema migrations, in the order in which they are applied.
///
/// A landed migration is never edited: a change of schema is a new file and a new line here.
package enum Migrations {
    package static let all: [(name: String, sql: String)] = [
        ("v0001_initial", String(decoding: PackageResources.v0001_initial_sql, as: UTF8.self)),
        ("v0002_kv", String(decoding: PackageResources.v0002_kv_sql, as: UTF8.self)),
        ("v0003_fleet", String(decoding: PackageResources.v0003_fleet_sql, as: UTF8.self)),
        ("v0004_prompts", String(decoding: PackageResources.v0004_prompts_sql, as: UTF8.self)),
        ("v0005_kv_sharing", String(decoding: PackageResources.v0005_kv_sharing_sql, as: UTF8.self)),
        ("v0006_shard_version", String(decoding: PackageResources.v0006_shard_version_sql, as: UTF8.self)),
        ("v0007_names", String(decoding: PackageResources.v0007_names_sql, as: UTF8.self)),
        ("v0008_store_identity", String(decoding: PackageResources.v0008_store_identity_sql, as: UTF8.self)),
        ("v0009_imports", String(decoding: PackageResources.v0009_imports_sql, as: UTF8.self)),
        ("v0010_revision_origins", String(decoding: PackageResources.v0010_revision_origins_sql, as: UTF8.self)),
        ("v0011_removal_slices", String(decoding: PackageResources.v0011_removal_slices_sql, as: UTF8.self)),
        ("v0012_cutting_rule", String(decoding: PackageResources.v0012_cutting_rule_sql, as: UTF8.self)),
        ("v0013_activity", String(decoding: PackageResources.v0013_activity_sql, as: UTF8.self)),
        (
            "v0014_examined_directories",
            String(decoding: PackageResources.v0014_examined_directories_sql, as: UTF8.self)
        ),
    ]
}
