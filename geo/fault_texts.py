"""The catalogue of faults: code -> (severity, Chinese, English). Codes are for ever; texts may improve."""

_E, _H, _W, _N = "error", "needs-human", "warning", "note"

REFUSALS: dict[str, tuple[str, str, str]] = {
    "file-empty": (_E, "文件为空。", "The file is empty."),
    "file-too-large": (
        _E,
        "文件有 {bytes} 字节,超过上限 {limit_bytes} 字节。",
        "The file has {bytes} bytes, more than the limit of {limit_bytes} bytes.",
    ),
    "format-unknown": (
        _E,
        "无法识别文件格式。可用:GeoJSON、Shapefile(打成 zip)、GeoPackage、KML。",
        "The format is not recognised. Accepted: GeoJSON, Shapefile (zipped), GeoPackage, KML.",
    ),
    "shapefile-not-zipped": (
        _E,
        "这是单独的 .shp。请把 .shp、.shx、.dbf、.prj 一起打成 zip。",
        "This is a .shp alone. Zip the .shp, .shx, .dbf and .prj together.",
    ),
    "archive-unsupported": (
        _E,
        "不支持这种压缩格式,请改用 zip。",
        "This kind of archive is not supported; use zip.",
    ),
    "zip-broken": (_E, "zip 文件损坏:{reason}。", "The zip file is broken: {reason}."),
    "zip-encrypted": (_E, "zip 文件有密码。", "The zip file is encrypted."),
    "zip-nested": (
        _E,
        "zip 里还有压缩文件({member}),不予打开。",
        "The zip holds another archive ({member}); it is not opened.",
    ),
    "zip-too-many-members": (
        _E,
        "zip 里有 {members} 个文件,超过上限 {limit_members} 个。",
        "The zip holds {members} members, more than the limit of {limit_members}.",
    ),
    "zip-bomb": (
        _E,
        "zip 解开后超过上限({limit_bytes} 字节,或压缩比 {limit_ratio})。",
        "The zip unpacks to more than the limit ({limit_bytes} bytes, or a ratio of {limit_ratio}).",
    ),
    "layer-none": (_E, "文件里没有边界图层。", "The file holds no boundary layer."),
    "layer-choose": (
        _E,
        "文件里有多个图层:{layers}。请指定一个。",
        "The file holds several layers: {layers}. Choose one.",
    ),
    "layer-unknown": (
        _E,
        "没有名为 {layer} 的图层;现有:{layers}。",
        "There is no layer {layer}; there are: {layers}.",
    ),
    "layer-is-a-view": (
        _E,
        "图层 {layer} 不是普通数据表,不予读取。",
        "Layer {layer} is no ordinary table; it is not read.",
    ),
    "encoding-unknown": (
        _E,
        "不认识字符编码 {encoding}。",
        "The character encoding {encoding} is not known.",
    ),
    "text-undecodable-file": (
        _E,
        "文件不是 UTF-8,也不是 GB18030 文本。",
        "The file is neither UTF-8 nor GB18030 text.",
    ),
    "xml-forbidden": (
        _E,
        "XML 含有 DTD 或实体声明,不予读取。",
        "The XML declares a DTD or entities; it is not read.",
    ),
    "xml-too-deep": (_E, "XML 嵌套过深。", "The XML is nested too deep."),
    "json-not-geojson": (
        _E,
        "这是 JSON,但不是 GeoJSON 要素集。",
        "This is JSON but no GeoJSON feature collection.",
    ),
    "database-broken": (
        _E,
        "GeoPackage 数据库损坏:{reason}。",
        "The GeoPackage database is broken: {reason}.",
    ),
    "shapefile-broken": (
        _E,
        "Shapefile 文件头损坏:{reason}。",
        "The head of the Shapefile is broken: {reason}.",
    ),
    "too-many-features": (
        _E,
        "要素超过上限 {limit_features} 个。",
        "There are more features than the limit of {limit_features}.",
    ),
    "too-many-vertices-in-all": (
        _E,
        "折点总数超过上限 {limit_vertices} 个。",
        "There are more vertices in all than the limit of {limit_vertices}.",
    ),
    "attributes-too-large": (
        _E,
        "属性超过上限(每要素 {limit_fields} 项、共 {limit_bytes} 字节)。",
        "The attributes exceed the limit ({limit_fields} fields a feature, {limit_bytes} bytes in all).",
    ),
    "too-slow": (
        _E,
        "在规定时间内没有处理完,文件过大或过于复杂。",
        "It was not done within the time allowed: the file is too large or too intricate.",
    ),
    "too-much-memory": (
        _E,
        "处理所需内存超过上限。",
        "It would take more memory than allowed.",
    ),
    "reader-died": (_E, "读取进程意外退出。", "The reading process ended unexpectedly."),
}

FILE_FAULTS: dict[str, tuple[str, str, str]] = {
    "no-features": (_E, "文件里没有要素。", "The file holds no features."),
    "file-breaks-off": (
        _E,
        "文件在第 {after_features} 个要素之后中断或损坏:{reason}。已读出的要素仍在。",
        "The file breaks off or is broken after {after_features} features: {reason}. What was read is kept.",
    ),
    "records-differ": (
        _E,
        ".shp 有 {shapes} 条图形,.dbf 有 {rows} 条属性,对应关系不可靠。",
        "The .shp has {shapes} shapes and the .dbf {rows} rows; which belongs to which is not sure.",
    ),
    "attributes-missing": (
        _E,
        "缺少或无法读取 .dbf 属性文件。",
        "The .dbf with the attributes is missing or unreadable.",
    ),
    "encoding-not-as-declared": (
        _W,
        "声明的编码是 {declared},实际按 {used} 读取。请核对名称:{preview}",
        "The declared encoding is {declared}, but it was read as {used}. Check the names: {preview}",
    ),
    "encoding-guessed": (
        _N,
        "没有声明编码,按 {used} 读取。请核对名称:{preview}",
        "No encoding is declared; it was read as {used}. Check the names: {preview}",
    ),
    "text-decoded-twice": (
        _H,
        "名称像是被重复转码的乱码:{preview};可能应为:{proposal}",
        "The names look decoded twice: {preview}; they may mean: {proposal}",
    ),
    "column-not-found": (
        _E,
        "找不到{role}列;现有列:{columns}。请指定。",
        "No column for {role} is recognised; there are: {columns}. Name it.",
    ),
    "column-unknown": (
        _E,
        "指定的列 {column} 不存在;现有列:{columns}。",
        "The column {column} given is not there; there are: {columns}.",
    ),
    "column-ambiguous": (
        _E,
        "有几列都可能是{role}:{columns},内容不同。请指定。",
        "Several columns may be the {role}: {columns}, and they differ. Name one.",
    ),
    "crs-assumed-degrees": (
        _W,
        "没有坐标系说明;数值是经纬度,按 WGS-84/CGCS2000 读取。请核对是否为 GCJ-02。",
        "No reference system is stated; the values are degrees and were read as WGS-84/CGCS2000. Check it is not GCJ-02.",
    ),
    "crs-unreadable": (
        _E,
        "坐标系说明无法识别:{text}。请指定 EPSG 代码。",
        "The stated reference system is not understood: {text}. Give its EPSG code.",
    ),
    "crs-must-be-asked": (
        _E,
        "坐标是投影米制,但没有坐标系说明,无法确定分带。可能:{candidates}。请指定。",
        "The values are projected metres without a stated system, so the zone is open. Candidates: {candidates}. Choose one.",
    ),
    "crs-decided-by-district": (
        _W,
        "没有坐标系说明;按区县轮廓判定为 EPSG:{epsg}({fit_percent:.1f}% 落在区县内)。请核对。",
        "No reference system is stated; the district's outline decides for EPSG:{epsg} ({fit_percent:.1f}% inside it). Check it.",
    ),
    "crs-from-zone-prefix": (
        _W,
        "没有坐标系说明;按横坐标的带号判定为 EPSG:{epsg}。请核对。",
        "No reference system is stated; the zone prefix of the eastings means EPSG:{epsg}. Check it.",
    ),
    "crs-says-projected-values-are-degrees": (
        _W,
        "坐标系说明是投影({declared}),数值却是经纬度,按经纬度读取。",
        "The stated system is projected ({declared}) but the values are degrees; they were read as degrees.",
    ),
    "crs-says-degrees-values-are-metres": (
        _E,
        "坐标系说明是经纬度({declared}),数值却是米制。可能:{candidates}。请指定。",
        "The stated system is geographic ({declared}) but the values are metres. Candidates: {candidates}. Choose one.",
    ),
    "crs-needs-parameters": (
        _E,
        "{datum} 与 WGS-84 之间没有公开的统一参数,直接读取会偏移数十至百余米。请给出本地转换参数,或请测绘部门转成 CGCS2000。",
        "There are no public parameters from {datum} to WGS-84; read as it is it would be off by tens of metres to over a hundred. Give the local parameters, or have it converted to CGCS2000.",
    ),
    "crs-datum-unsupported": (
        _E,
        "不支持的大地基准:{datum}。请转成 CGCS2000 或 WGS-84。",
        "The datum {datum} is not supported. Convert to CGCS2000 or WGS-84.",
    ),
    "crs-values-impossible": (
        _E,
        "坐标数值既不是经纬度,也不是任何 CGCS2000 分带:X {min_x}–{max_x},Y {min_y}–{max_y}。",
        "The values are neither degrees nor in any CGCS2000 zone: x {min_x} to {max_x}, y {min_y} to {max_y}.",
    ),
    "crs-choice-contradicts-values": (
        _E,
        "指定的 EPSG:{epsg} 是投影坐标系,数值却是经纬度。",
        "The EPSG:{epsg} chosen is projected but the values are degrees.",
    ),
    "wrong-zone": (
        _E,
        "分带不符:{declared} 的带号为 {expected_zone},坐标的带号为 {found_zone}(0 表示无带号)。可能:{candidates}。请指定。",
        "The zones differ: {declared} means zone {expected_zone}, the eastings say {found_zone} (0: no prefix). Candidates: {candidates}. Choose one.",
    ),
    "crs-does-not-fit": (
        _E,
        "按 EPSG:{epsg} 读取,图层离区县 {distance_km:.0f} 公里。{hint_zh}",
        "Read as EPSG:{epsg} the layer lies {distance_km:.0f} km from the district. {hint_en}",
    ),
    "axes-swapped": (
        _E,
        "纬度和经度(或 X 和 Y)互换了。核对后请以“坐标轴互换”方式重新读取。",
        "Latitude and longitude (or x and y) are swapped. After checking, read again with the axes swapped.",
    ),
    "third-coordinate-dropped": (
        _N,
        "{features} 个要素带高程等第三坐标,已略去。",
        "{features} features carry a third coordinate; it is left out.",
    ),
    "ring-winding": (
        _N,
        "{features} 个要素的环方向与格式规定相反;内外环按包含关系判定。",
        "{features} features have rings wound against the format's rule; containment decides what is a hole.",
    ),
}

FEATURE_FAULTS: dict[str, tuple[str, str, str]] = {
    "feature-unreadable": (_E, "要素无法解析:{reason}。", "The feature cannot be parsed: {reason}."),
    "feature-deleted": (
        _N,
        "该条记录在 .dbf 中标记为已删除,已跳过。",
        "The row is marked deleted in the .dbf; it is left out.",
    ),
    "geometry-empty": (_E, "没有图形。", "There is no geometry."),
    "geometry-not-a-polygon": (_E, "图形不是面:{types}。", "The geometry is no polygon: {types}."),
    "geometry-mixed": (_H, "图形里除了面还有:{types}。", "Beside polygons the geometry holds: {types}."),
    "coordinates-unreadable": (_E, "坐标无法解析:{reason}。", "The coordinates cannot be parsed: {reason}."),
    "coordinate-not-finite": (
        _E,
        "有 {vertices} 个折点的坐标不是有限数。",
        "Vertices with coordinates that are not finite: {vertices}.",
    ),
    "coordinate-out-of-range": (
        _E,
        "有 {vertices} 个折点超出坐标系范围(例如 {x}, {y})。",
        "Vertices outside the range of the reference system: {vertices} (for instance {x}, {y}).",
    ),
    "coordinates-swapped": (
        _E,
        "该要素的经度和纬度互换了。",
        "The longitude and latitude of this feature are swapped.",
    ),
    "too-many-vertices": (
        _E,
        "折点超过每个要素的上限 {limit_vertices} 个。",
        "It has more vertices than the limit of {limit_vertices} a feature.",
    ),
    "too-many-rings": (
        _E,
        "环超过每个要素的上限 {limit_rings} 个。",
        "It has more rings than the limit of {limit_rings} a feature.",
    ),
    "ring-too-short": (
        _E,
        "有一个环只有 {vertices} 个不同的折点。",
        "A ring has too few distinct vertices: {vertices}.",
    ),
    "ring-not-closed": (
        _E,
        "有一个环没有闭合,首尾相距 {gap_m:.2f} 米。",
        "A ring is not closed; its ends are {gap_m:.2f} m apart.",
    ),
    "ring-repeats-points": (
        _N,
        "有 {vertices} 个重复的相邻折点。",
        "Vertices that repeat the one before them: {vertices}.",
    ),
    "ring-self-intersection": (_E, "环自相交。", "A ring crosses or touches itself."),
    "rings-cross": (_E, "环与环相交。", "Rings cross each other."),
    "hole-outside-shell": (_E, "内环在外环之外。", "A hole lies outside its shell."),
    "holes-nested": (_E, "内环套内环。", "A hole lies inside another hole."),
    "parts-overlap": (_E, "同一要素的各部分重叠或共边。", "Parts of the feature overlap or share an edge."),
    "hole-wound-like-shell": (
        _H,
        "内部的环与外环方向相同:可能是洞,也可能是重叠的面。",
        "A ring inside another is wound the same way: a hole, or a part laid over it.",
    ),
    "interior-disconnected": (_E, "内环把面切断。", "Holes cut the interior into pieces."),
    "rings-duplicate": (_E, "有重复的环。", "A ring occurs twice."),
    "geometry-invalid": (_E, "图形无效:{reason}。", "The geometry is not valid: {reason}."),
    "repair-accepted": (
        _N,
        "已按核定的方案修复:{steps}(面积变化 {change_percent}%)。",
        "Repaired as accepted: {steps} (area changed by {change_percent}%).",
    ),
    "more-faults": (
        _N,
        "该要素还有 {faults} 处问题未列出。",
        "{faults} more faults of this feature are not listed.",
    ),
    "code-missing": (_E, "没有代码。", "There is no code."),
    "code-malformed": (_E, "代码“{value}”不是 12 位数字。", "The code “{value}” is not 12 digits."),
    "code-nine-digits": (
        _H,
        "代码“{value}”是 9 位。9 位乡镇代码有两套且互相冲突,不能据此对应村。请给出 12 位代码。",
        "The code “{value}” has 9 digits. Two 9-digit town systems collide, so it identifies no village. Give the 12-digit code.",
    ),
    "code-of-a-town": (
        _H,
        "代码“{value}”是乡镇级(后三位为 000)。",
        "The code “{value}” is a town's (it ends in 000).",
    ),
    "code-cut-to-twelve": (
        _N,
        "代码“{value}”取前 12 位,其余为零。",
        "Of the code “{value}” the first 12 digits were taken; the rest are zeros.",
    ),
    "town-code-differs": (
        _H,
        "乡镇代码“{town}”与村代码“{value}”的前 9 位不同,可能属于另一套编码。",
        "The town code “{town}” is not the beginning of the code “{value}”; it may belong to the other system.",
    ),
    "town-code-malformed": (
        _W,
        "乡镇代码“{value}”不是 9 或 12 位数字。",
        "The town code “{value}” is neither 9 nor 12 digits.",
    ),
    "name-missing": (_W, "没有名称。", "There is no name."),
    "text-undecodable": (
        _W,
        "字段 {column} 有无法解码的字节。",
        "The field {column} has bytes that cannot be decoded.",
    ),
    "text-cut": (_W, "字段 {column} 的文字被截断。", "The text of the field {column} is cut off."),
}

TEXTS: dict[str, tuple[str, str, str]] = REFUSALS | FILE_FAULTS | FEATURE_FAULTS

GEOMETRY_FAULTS = frozenset(
    code
    for code in FEATURE_FAULTS
    if code.split("-", maxsplit=1)[0] not in ("code", "town", "name", "text") and code != "repair-accepted"
)
"""Faults of a feature's shape, settled by an accepted repair."""
