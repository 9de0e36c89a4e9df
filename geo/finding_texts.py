"""The catalogue of findings of the quality report: code -> (severity, Chinese, English). Codes are for ever."""

_E, _H, _W, _N = "error", "needs-human", "warning", "note"

TEXTS: dict[str, tuple[str, str, str]] = {
    "code-duplicate": (
        _E,
        "代码 {code} 出现 {features} 次。",
        "The code {code} occurs {features} times.",
    ),
    "name-duplicate": (
        _W,
        "乡镇 {town} 有 {features} 个单位同名“{name}”。",
        "In the town {town} {features} units have the name “{name}”.",
    ),
    "kind-unknown": (_H, "类型“{value}”不认识。", "The kind “{value}” is not known."),
    "kind-missing": (
        _N,
        "{features} 个要素没有类型,按村处理。",
        "{features} features have no kind; they are treated as villages.",
    ),
    "overlap": (
        _W,
        "与相邻单位重叠 {area_m2:,.0f} 平方米,最宽 {width_m:.1f} 米。",
        "It overlaps its neighbour by {area_m2:,.0f} m², at most {width_m:.1f} m wide.",
    ),
    "overlap-large": (
        _H,
        "与相邻单位重叠 {area_m2:,.0f} 平方米,占较小者的 {share_percent:.1f}%。",
        "It overlaps its neighbour by {area_m2:,.0f} m², {share_percent:.1f}% of the smaller one.",
    ),
    "enclave-without-hole": (
        _H,
        "完全落在另一单位之内,而外面的单位没有挖洞。",
        "It lies wholly inside another unit, which has no hole for it.",
    ),
    "shape-duplicate": (_H, "与另一单位的图形相同。", "It has the same shape as another unit."),
    "overlap-too-intricate": (
        _H,
        "两个图形交错过于复杂(约 {crossings} 处相交),没有计算重叠。",
        "The two shapes cross about {crossings} times; their overlap was not computed.",
    ),
    "gap": (
        _W,
        "相邻单位之间有空隙 {area_m2:,.0f} 平方米,最宽 {width_m:.1f} 米。",
        "There is a gap of {area_m2:,.0f} m² between neighbours, at most {width_m:.1f} m wide.",
    ),
    "sliver": (
        _W,
        "相邻单位之间有狭缝 {area_m2:,.0f} 平方米,最宽 {width_m:.1f} 米。",
        "There is a sliver of {area_m2:,.0f} m² between neighbours, at most {width_m:.1f} m wide.",
    ),
    "open-slivers-not-searched": (
        _N,
        "图层分散成 {parts} 块,没有查找通向外部的狭缝。",
        "The layer falls into {parts} pieces; slivers open to the outside were not searched for.",
    ),
    "hairlines": (
        _N,
        "有 {places} 处不到 {limit_m} 米宽的重叠或缝隙,属于坐标取位误差。",
        "There are {places} overlaps or gaps narrower than {limit_m} m, the grain of rounded coordinates.",
    ),
    "hole-unfilled": (
        _N,
        "该单位有一个洞没有被任何单位填充({area_m2:,.0f} 平方米)。",
        "A hole of this unit is filled by no other ({area_m2:,.0f} m²).",
    ),
    "district-covered": (
        _N,
        "图层覆盖区县的 {percent:.2f}%,未覆盖 {missing_km2:.3f} 平方公里。",
        "The layer covers {percent:.2f}% of the district; {missing_km2:.3f} km² are missing.",
    ),
    "district-uncovered": (
        _W,
        "区县边缘有 {area_m2:,.0f} 平方米没有任何单位,最宽 {width_m:.1f} 米。",
        "At the district's edge {area_m2:,.0f} m² belong to no unit, at most {width_m:.1f} m wide.",
    ),
    "outside-district": (
        _E,
        "整个落在区县之外,最近处 {distance_m:.0f} 米。",
        "It lies wholly outside the district, {distance_m:.0f} m away at the nearest.",
    ),
    "partly-outside-district": (
        _H,
        "有 {share_percent:.1f}%({area_m2:,.0f} 平方米)在区县之外,最远 {distance_m:.0f} 米。",
        "{share_percent:.1f}% of it ({area_m2:,.0f} m²) lies outside the district, up to {distance_m:.0f} m.",
    ),
    "edge-differs-from-district": (
        _N,
        "{features} 个单位的外缘与区县轮廓略有出入,共 {area_m2:,.0f} 平方米,最多 {distance_m:.1f} 米。",
        "The outer edge of {features} units differs slightly from the district's outline: {area_m2:,.0f} m², at most {distance_m:.1f} m.",
    ),
    "layer-in-wrong-zone": (
        _E,
        "整个图层偏离区县 {distance_km:.0f} 公里;经度改 {shift_deg:+d} 度即吻合,应是三度带读错。",
        "The whole layer lies {distance_km:.0f} km off; moved by {shift_deg:+d} degrees of longitude it fits: a zone read as another.",
    ),
    "layer-outside-district": (
        _E,
        "整个图层在区县之外,相距 {distance_km:.0f} 公里。",
        "The whole layer lies outside the district, {distance_km:.0f} km away.",
    ),
    "datum-suspected": (
        _H,
        "整个图层像是 {datum} 坐标:与区县轮廓的距离中位数为 {median_m:.0f} 米,按 {datum} 转换后为 {corrected_m:.0f} 米(当地偏移 {shift_m:.0f} 米,方位角 {azimuth_deg:.0f} 度)。",
        "The whole layer looks like {datum}: it lies {median_m:.0f} m (median) off the district's outline, {corrected_m:.0f} m after conversion (the local shift is {shift_m:.0f} m toward {azimuth_deg:.0f} degrees).",
    ),
    "converted-twice-suspected": (
        _H,
        "整个图层像是把 WGS-84 误当 {datum} 又转换了一次:与区县轮廓的距离中位数为 {median_m:.0f} 米,还原后为 {corrected_m:.0f} 米。",
        "The whole layer looks like WGS-84 converted as if it were {datum}: it lies {median_m:.0f} m (median) off the district's outline, {corrected_m:.0f} m when that is undone.",
    ),
    "area-differs": (
        _W,
        "面积 {area_km2:.3f} 平方公里,公布的是 {claimed_km2:.3f} 平方公里,相差 {difference_percent:+.1f}%。",
        "Its area is {area_km2:.3f} km², {claimed_km2:.3f} km² is claimed: {difference_percent:+.1f}%.",
    ),
    "repair-proposed": (
        _W,
        "可修复:{steps_zh}。折点 {vertices_before} → {vertices_after},面积 {area_before_m2:,.0f} → {area_after_m2:,.0f} 平方米({change_percent:.3f}%)。",
        "It can be repaired: {steps_en}. Vertices {vertices_before} -> {vertices_after}, area {area_before_m2:,.0f} -> {area_after_m2:,.0f} m² ({change_percent:.3f}%).",
    ),
    "repair-needs-human": (
        _H,
        "修复方案须由人核定:{steps_zh}。折点 {vertices_before} → {vertices_after},面积 {area_before_m2:,.0f} → {area_after_m2:,.0f} 平方米({change_percent:.3f}%)。",
        "A person must decide on the repair: {steps_en}. Vertices {vertices_before} -> {vertices_after}, area {area_before_m2:,.0f} -> {area_after_m2:,.0f} m² ({change_percent:.3f}%).",
    ),
    "repair-impossible": (
        _E,
        "无法提出修复方案,须重新制作该图形。",
        "No repair can be proposed; the shape must be made anew.",
    ),
    "repair-too-costly": (
        _E,
        "自相交过多(约 {crossings} 处),没有计算修复方案。",
        "It crosses itself about {crossings} times; no repair was computed.",
    ),
    "more-findings": (
        _N,
        "另有 {findings} 条同类问题(代码 {of_code})未列出。",
        "{findings} more findings of this kind ({of_code}) are not listed.",
    ),
}

STEPS: dict[str, tuple[str, str]] = {
    "close-ring": ("闭合未闭合的环", "close open rings"),
    "drop-short-ring": ("去掉折点不足的环", "drop rings with too few vertices"),
    "polygons-only": ("只保留面", "keep the polygons only"),
    "hole-by-containment": ("把内部的环当作洞", "take rings inside others for holes"),
    "make-valid": ("make_valid(保持环结构)", "make_valid (keeping the structure of rings)"),
}
