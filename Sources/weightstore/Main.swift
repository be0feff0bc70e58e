import ArgumentParser
import WeightStore
@main struct W: ParsableCommand {}
